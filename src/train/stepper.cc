// SPDX-License-Identifier: MIT
#include "train/stepper.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <atomic>
#include <cmath>
#include <numeric>

#include "train/fused/kernels.h"

namespace tern::train {

namespace {

int64_t count_mask(const Batch& batch) {
  return std::accumulate(batch.mask.begin(), batch.mask.end(), int64_t{0});
}

int64_t count_mask(const std::vector<Batch>& batches) {
  int64_t counted = 0;
  for (const Batch& batch : batches) counted += count_mask(batch);
  return counted;
}

/// The step's weights as leaves of one micro-batch: the same memory, gradients of their own.
StepWeights as_leaves(const StepWeights& weights) {
  StepWeights leaves;
  leaves.factors = weights.factors;
  for (const Tensor& tensor : weights.tensors) leaves.tensors.push_back(tensor.detach().requires_grad_(true));
  return leaves;
}

}  // namespace

Result<Stepper> Stepper::create(TrainModel& model, torch::ScalarType type, size_t threads) {
  Stepper stepper;
  stepper.model_ = &model;
  stepper.type_ = type;
  // Products in f32 are the BLAS library's, and not every one may be entered by two threads at once:
  // OpenBLAS's serial build (Debian's libopenblas0-serial) then gives wrong numbers now and then. Those in
  // bf16 are oneDNN's, which may.
  if (type == torch::kFloat) threads = 1;
  TERN_TRY_ASSIGN(stepper.pool_, ThreadPool::create(threads, detect_topology(), false));
  stepper.weights_.tensors.resize(model.parameters().size());
  stepper.weights_.factors.resize(model.parameters().size());
  stepper.gradient_ = torch::zeros_like(model.values());
  stepper.m_ = torch::zeros_like(model.values());
  stepper.v_ = torch::zeros_like(model.values());
  at::set_num_threads(1);  // a micro-batch is one thread's; at this size forking costs more than it gives
  stepper.pool_->run([](size_t) { at::init_num_threads(); });
  return stepper;
}

void Stepper::run(size_t count, const std::function<void(size_t)>& job) {
  std::atomic<size_t> next{0};
  pool_->run([&](size_t) {
    for (size_t i = next++; i < count; i = next++) job(i);
  });
}

void Stepper::quantize() {
  run(model_->parameters().size(), [&](size_t i) { model_->quantize(type_, weights_, i, i + 1); });
}

double Stepper::sum_gradients(const std::vector<std::vector<Tensor>>& parts) {
  const auto& parameters = model_->parameters();
  std::vector<double> squares(parameters.size(), 0.0);
  run(parameters.size(), [&](size_t i) {
    const Parameter& p = parameters[i];
    float* sum = gradient_.data_ptr<float>() + p.offset;
    std::fill_n(sum, p.value.numel(), 0.0f);
    const int64_t cols = p.value.size(-1);
    for (const std::vector<Tensor>& gradients : parts) {
      const Tensor& g = gradients[i];
      for (size_t k = 0; k < p.parts.size(); ++k) {
        const Part& part = p.parts[k];
        const int64_t at = part.row * cols, count = part.rows * cols;
        // The product saw trits = w / factor.
        const auto factor = static_cast<float>(p.is_matrix ? 1.0 / weights_.factors[i][k] : 1.0);
        if (g.scalar_type() == torch::kBFloat16) {
          kernels().bf16.accumulate(static_cast<const uint16_t*>(g.data_ptr()) + at, count, factor, sum + at);
        } else {
          kernels().f32.accumulate(g.data_ptr<float>() + at, count, factor, sum + at);
        }
      }
    }
    squares[i] = kernels().sum_squares(sum, p.value.numel());
  });
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

Result<StepResult> Stepper::step(const std::vector<Batch>& batches, int64_t step, const Rates& rates,
                                 const OptimizerConfig& optimizer) {
  StepResult result;
  result.counted = count_mask(batches);
  const double scale = 1.0 / static_cast<double>(std::max<int64_t>(1, result.counted));
  quantize();
  std::vector<std::vector<Tensor>> gradients(batches.size());
  std::vector<double> losses(batches.size());
  run(batches.size(), [&](size_t i) {
    const StepWeights leaves = as_leaves(weights_);
    const Tensor loss = model_->loss(leaves, batches[i], scale);
    losses[i] = loss.item<double>();
    gradients[i] = torch::autograd::grad({loss}, leaves.tensors);
    for (Tensor& g : gradients[i]) g = g.contiguous();
  });
  result.loss = std::accumulate(losses.begin(), losses.end(), 0.0);
  result.gradient_norm = sum_gradients(gradients);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    return make_error(
        ErrorCode::kNumeric,
        "step {}: loss {} and gradient norm {} are not both finite: lower stage1_lr or set grad_clip", step,
        result.loss, result.gradient_norm);
  }
  const auto& parameters = model_->parameters();
  run(parameters.size(), [&](size_t i) {
    const Parameter& p = parameters[i];
    AdamWArgs a;
    a.count = p.value.numel();
    a.value = model_->values().data_ptr<float>() + p.offset;
    a.m = m_.data_ptr<float>() + p.offset, a.v = v_.data_ptr<float>() + p.offset;
    a.gradient = gradient_.data_ptr<float>() + p.offset;
    const bool clips = optimizer.grad_clip > 0 && result.gradient_norm > optimizer.grad_clip;
    a.gradient_scale = clips ? static_cast<float>(optimizer.grad_clip / result.gradient_norm) : 1.0f;
    a.lr = static_cast<float>(rates.lr);
    a.weight_decay = p.is_matrix ? static_cast<float>(rates.weight_decay) : 0.0f;
    a.beta1 = static_cast<float>(optimizer.beta1), a.beta2 = static_cast<float>(optimizer.beta2);
    a.epsilon = static_cast<float>(optimizer.epsilon);
    a.correction1 = static_cast<float>(1 - std::pow(optimizer.beta1, step + 1));
    a.correction2 = static_cast<float>(1 - std::pow(optimizer.beta2, step + 1));
    kernels().adamw(a);
  });
  return result;
}

StepResult Stepper::evaluate(const std::vector<Batch>& batches) {
  StepResult result;
  result.counted = count_mask(batches);
  quantize();
  std::vector<double> losses(batches.size());
  run(batches.size(), [&](size_t i) {
    torch::NoGradGuard no_grad;
    losses[i] = model_->loss(weights_, batches[i], 1.0).item<double>();
  });
  result.loss = std::accumulate(losses.begin(), losses.end(), 0.0) /
                static_cast<double>(std::max<int64_t>(1, result.counted));
  return result;
}

}  // namespace tern::train
