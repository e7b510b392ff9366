// SPDX-License-Identifier: MIT
#include "train/trainer.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/topology.h"

namespace tern::train {

namespace {

/// Seconds of a product of a usual size, the best of three.
double product_seconds(torch::ScalarType type) {
  const Tensor x = torch::ones({512, 256}, type), w = torch::ones({256, 256}, type);
  double best = 1e9;
  for (int i = 0; i < 4; ++i) {  // the first one prepares the code
    const auto begin = std::chrono::steady_clock::now();
    const Tensor y = torch::mm(x, w.t());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (i > 0) best = std::min(best, seconds);
  }
  return best;
}

}  // namespace

torch::ScalarType choose_type(TrainDtype dtype) {
  if (dtype == TrainDtype::kF32) return torch::kFloat;
  if (dtype == TrainDtype::kBf16) return torch::kBFloat16;
  // Clearly faster or not at all: the choice must be the same again when a run is resumed under other load.
  return 1.5 * product_seconds(torch::kBFloat16) < product_seconds(torch::kFloat) ? torch::kBFloat16
                                                                                  : torch::kFloat;
}

int32_t rows_per_micro_batch(const TrainConfig& config) {
  const int32_t context = config.model.context, rows = config.rows_per_step();
  const int32_t allowed =
      config.optimizer.micro_batch_tokens > 0 ? config.optimizer.micro_batch_tokens / context : rows;
  // About 2,048 positions: large enough for the products, small enough for the caches and to share out.
  int32_t wanted = std::clamp(std::min(2048 / context, allowed), 1, rows);
  while (rows % wanted != 0) --wanted;
  return wanted;
}

Result<std::unique_ptr<Trainer>> Trainer::create(const TrainConfig& config, const Prepared& prepared,
                                                 TrainOptions options) {
  std::unique_ptr<Trainer> trainer(new Trainer);
  trainer->config_ = config;
  trainer->config_.model.vocab_size = prepared.vocab_size;
  trainer->options_ = std::move(options);
  TERN_TRY_ASSIGN(trainer->dataset_, Dataset::open(prepared, config.data, config.model.context));
  if (!trainer->options_.teacher.empty()) {
    TERN_TRY_ASSIGN(auto teacher, TeacherFile::open(trainer->options_.teacher));
    TERN_TRY(trainer->dataset_->attach_teacher(std::move(teacher)));
  }
  trainer->model_ = TrainModel::create(trainer->config_.model, config.ternary, config.seed);
  const size_t threads =
      config.threads > 0 ? static_cast<size_t>(config.threads) : detect_topology().default_threads;
  TERN_TRY_ASSIGN(Stepper stepper, Stepper::create(trainer->model_, choose_type(config.dtype), threads));
  trainer->stepper_ = std::make_unique<Stepper>(std::move(stepper));
  TERN_TRY(trainer->resume_or_begin());
  TERN_TRY_ASSIGN(trainer->log_, RunLog::open(config.output, trainer->state_.step));
  return trainer;
}

Status Trainer::resume_or_begin() {
  TERN_TRY_ASSIGN(const auto found, find_checkpoint(config_.output));
  state_.fingerprint = dataset_->fingerprint();
  if (found && !options_.resume) {
    return make_error(ErrorCode::kUsage,
                      "'{}' holds a run already ({}): --resume continues it, another \"output\" begins one",
                      config_.output, *found);
  }
  if (found) {
    TERN_TRY_ASSIGN(state_,
                    load_checkpoint(*found, model_, stepper_->first_moment(), stepper_->second_moment()));
    if (state_.fingerprint != dataset_->fingerprint()) {
      return make_error(
          ErrorCode::kUsage,
          "{}: the data or its seed is not what this run was trained on; restore it, or begin another run",
          *found);
    }
    if (options_.on_note) options_.on_note(fmt::format("resuming {} at step {}", *found, state_.step));
  } else if (!config_.init.empty()) {
    TERN_TRY(begin_from(config_.init));
  } else if (options_.resume && options_.on_note) {
    options_.on_note(fmt::format("no checkpoint in '{}' yet: beginning at step 0", config_.output));
  }
  state_.config = options_.config_text;
  state_.config_base = options_.config_base;
  state_.vocab_size = config_.model.vocab_size;
  return {};
}

Status Trainer::begin_from(const std::string& init) {
  std::string path = init;
  if (std::filesystem::is_directory(init)) {
    TERN_TRY_ASSIGN(const auto newest, find_checkpoint(init));
    if (!newest) return make_error(ErrorCode::kNotFound, "$.init: no checkpoint in '{}'", init);
    path = *newest;
  }
  // The weights alone: moments, step and data position are those of a new run.
  TERN_TRY_ASSIGN(const RunState from, read_checkpoint_state(path));
  if (from.vocab_size != config_.model.vocab_size) {
    return make_error(ErrorCode::kUsage, "$.init: {} has a vocabulary of {}, this run's tokenizer one of {}",
                      path, from.vocab_size, config_.model.vocab_size);
  }
  TERN_TRY_ASSIGN(state_, load_checkpoint(path, model_, Tensor(), Tensor()));
  state_ = RunState();
  state_.fingerprint = dataset_->fingerprint();
  if (options_.on_note) options_.on_note(fmt::format("beginning with the weights of {}", path));
  return {};
}

void Trainer::load_batches(int64_t first_row) {
  const int32_t rows = rows_per_micro_batch(config_);
  batches_.resize(static_cast<size_t>(config_.rows_per_step() / rows));
  for (size_t i = 0; i < batches_.size(); ++i) {
    dataset_->batch(first_row + static_cast<int64_t>(i) * rows, rows, batches_[i]);
  }
}

Result<StepResult> Trainer::one_step() {
  load_batches(state_.next_row);
  const Rates rates = rates_at(config_.optimizer, state_.step);
  TERN_TRY_ASSIGN(const StepResult result, stepper_->step(batches_, state_.step, rates, config_.optimizer));
  ++state_.step;
  state_.next_row += config_.rows_per_step();
  return result;
}

Status Trainer::evaluate() {
  double total = 0;
  int64_t counted = 0;
  for (size_t s = 0; s < dataset_->sources().size(); ++s) {
    const int64_t rows = std::min<int64_t>(config_.eval_rows, dataset_->heldout_rows(s));
    if (rows == 0) continue;
    const int32_t micro = rows_per_micro_batch(config_);
    std::vector<Batch> batches;
    for (int64_t row = 0; row < rows; row += micro) {
      batches.emplace_back();
      dataset_->heldout_batch(s, row, static_cast<int32_t>(std::min<int64_t>(micro, rows - row)),
                              batches.back());
    }
    const StepResult result = stepper_->evaluate(batches);
    const EvalReport report{state_.step, dataset_->sources()[s].path, result.loss, result.counted};
    total += result.loss * static_cast<double>(result.counted);
    counted += result.counted;
    TERN_TRY(log_->add(report));
    if (options_.on_eval) options_.on_eval(report);
  }
  if (counted == 0) return {};
  const EvalReport all{state_.step, "all", total / static_cast<double>(counted), counted};
  TERN_TRY(log_->add(all));
  if (options_.on_eval) options_.on_eval(all);
  return {};
}

Status Trainer::save() {
  TERN_TRY(
      save_checkpoint(config_.output, state_, model_, stepper_->first_moment(), stepper_->second_moment()));
  return log_->plot();
}

Status Trainer::run() {
  const int64_t begin = state_.step;
  const int64_t end = options_.stop_after < 0
                          ? config_.optimizer.steps
                          : std::min<int64_t>(config_.optimizer.steps, begin + options_.stop_after);
  bool saved = begin > 0;
  while (state_.step < end) {
    const auto start = std::chrono::steady_clock::now();
    TERN_TRY_ASSIGN(const StepResult result, one_step());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const StepReport report{state_.step,
                            config_.optimizer.steps,
                            result.loss,
                            result.gradient_norm,
                            rates_at(config_.optimizer, state_.step - 1).lr,
                            config_.optimizer.batch_tokens,
                            seconds};
    TERN_TRY(log_->add(report));
    if (options_.on_step) options_.on_step(report);
    saved = false;
    const bool stops = options_.stop != nullptr && options_.stop->load();
    if (!stops && (state_.step % config_.eval_every == 0 || state_.step == config_.optimizer.steps))
      TERN_TRY(evaluate());
    if (stops || state_.step % config_.checkpoint_every == 0) {
      TERN_TRY(save());
      saved = true;
    }
    if (stops) return {};
  }
  return saved ? Status() : save();
}

}  // namespace tern::train
