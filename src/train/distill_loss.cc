// SPDX-License-Identifier: MIT
#include "train/distill_loss.h"

#include <torch/torch.h>

namespace tern::train {

namespace {

// Least probability of the rest, teacher's or draft's: below it the logarithm's slope would drown everything
// else.
constexpr double kLeastRest = 1e-6;

template <class T>
torch::Tensor view(const std::vector<T>& values, torch::IntArrayRef shape, torch::ScalarType type) {
  return torch::from_blob(const_cast<T*>(values.data()), shape, type);
}

}  // namespace

torch::Tensor distill_loss(const torch::Tensor& logits, const Batch& batch, double scale) {
  const int64_t positions = logits.size(0), k = batch.teacher_k;
  const torch::Tensor ids = view(batch.teacher_ids, {positions, k}, torch::kInt).to(torch::kLong);
  const torch::Tensor given = view(batch.teacher_log_probs, {positions, k}, torch::kFloat);
  const torch::Tensor mask = view(batch.mask, {positions}, torch::kByte).to(torch::kFloat);
  // -infinity (padding, or a probability that f16 rounds to 0) contributes nothing, and must not make a NaN.
  const torch::Tensor log_p = torch::where(torch::isfinite(given), given, torch::zeros_like(given));
  const torch::Tensor p = torch::where(torch::isfinite(given), given.exp(), torch::zeros_like(given));
  const torch::Tensor log_q = torch::log_softmax(logits, 1).gather(1, ids);
  const torch::Tensor rest_p = (1 - p.sum(1)).clamp_min(kLeastRest);
  const torch::Tensor rest_q = (1 - log_q.exp().sum(1)).clamp_min(kLeastRest);
  const torch::Tensor kept = (p * (log_p - log_q)).sum(1);
  const torch::Tensor rest = rest_p * (rest_p.log() - rest_q.log());
  return ((kept + rest) * mask).sum() * scale;
}

}  // namespace tern::train
