// SPDX-License-Identifier: MIT
// One optimizer step on all cores: quantise the weights once, run the micro-batches side by side (one thread
// each), sum their gradients in order, clip, AdamW. Decides nothing about data, schedule or files. The sum
// does not depend on the number of threads or on who was faster: the same micro-batches give the same bits.
#pragma once

#include <memory>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "train/model.h"
#include "train/schedule.h"

namespace tern::train {

struct StepResult {
  double loss = 0;           // mean over the positions that count
  double gradient_norm = 0;  // before clipping
  int64_t counted = 0;       // positions that count
};

class Stepper {
 public:
  /// Zero moments. Errors: kOutOfMemory where threads cannot be started. The model must outlive the stepper.
  static Result<Stepper> create(TrainModel& model, torch::ScalarType type, size_t threads);

  /// One step on the micro-batches; `step` counts from 0 (bias correction). Errors: kNumeric where the loss
  /// or the gradient is not finite; the weights are then those before the step.
  Result<StepResult> step(const std::vector<Batch>& batches, int64_t step, const Rates& rates,
                          const OptimizerConfig& optimizer);

  /// Mean loss of the batches without touching anything.
  StepResult evaluate(const std::vector<Batch>& batches);

  torch::ScalarType type() const { return type_; }
  size_t threads() const { return pool_->num_threads(); }
  Tensor& first_moment() { return m_; }  // flat f32, as TrainModel::values
  Tensor& second_moment() { return v_; }

 private:
  Stepper() = default;
  void quantize();
  void run(size_t count, const std::function<void(size_t)>& job);
  double sum_gradients(const std::vector<std::vector<Tensor>>& parts);

  TrainModel* model_ = nullptr;
  torch::ScalarType type_ = torch::kFloat;
  std::unique_ptr<ThreadPool> pool_;
  StepWeights weights_;
  Tensor gradient_, m_, v_;  // flat f32
};

}  // namespace tern::train
