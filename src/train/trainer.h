// SPDX-License-Identifier: MIT
// A training run: data in, checkpoints, logs and plots out. Decides what happens at which step; the
// arithmetic is stepper.h's, the files checkpoint.h's and run_log.h's. Called by tern-train.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/corpus.h"
#include "train/dataset.h"
#include "train/run_log.h"
#include "train/stepper.h"

namespace tern::train {

struct TrainOptions {
  bool resume = false;
  int64_t stop_after = -1;  // steps of this call; -1: to the end
  std::string config_text, config_base;
  std::string teacher;  // a teacher file to learn from (teacher_file.h); empty: from the text
  const std::atomic<bool>* stop = nullptr;          // true: save and return after the step in progress
  std::function<void(const StepReport&)> on_step;   // after every step
  std::function<void(const EvalReport&)> on_eval;   // after every evaluation
  std::function<void(const std::string&)> on_note;  // one line for people
};

class Trainer {
 public:
  /// Opens the data, makes or resumes the model. Errors: kUsage where the output already holds a run and
  /// resume is false, or its data or shapes are others; those of prepare(), Dataset::open, load_checkpoint.
  static Result<std::unique_ptr<Trainer>> create(const TrainConfig& config, const Prepared& prepared,
                                                 TrainOptions options);

  /// Runs to the last step, to options.stop_after, or until options.stop; ends with a checkpoint in each
  /// case. Errors: kNumeric, kIo; the last checkpoint is then what there is.
  Status run();

  int64_t step() const { return state_.step; }
  bool finished() const { return state_.step >= config_.optimizer.steps; }
  TrainModel& model() { return model_; }
  Stepper& stepper() { return *stepper_; }
  Dataset& dataset() { return *dataset_; }

 private:
  Trainer() = default;
  Status resume_or_begin();
  Status begin_from(const std::string& init);
  Result<StepResult> one_step();
  Status evaluate();
  Status save();
  void load_batches(int64_t first_row);

  TrainConfig config_;
  TrainOptions options_;
  RunState state_;
  TrainModel model_;
  std::unique_ptr<Stepper> stepper_;
  std::unique_ptr<Dataset> dataset_;
  std::unique_ptr<RunLog> log_;
  std::vector<Batch> batches_;
};

/// kAuto: bf16 where products are half as fast again as in f32 (measured, some milliseconds), else f32.
torch::ScalarType choose_type(TrainDtype dtype);

/// Rows of one forward pass: about 2,048 positions, at most the configuration's micro_batch_tokens. Does not
/// depend on the number of threads, so that the sums of a step do not either.
int32_t rows_per_micro_batch(const TrainConfig& config);

}  // namespace tern::train
