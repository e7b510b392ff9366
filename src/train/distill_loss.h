// SPDX-License-Identifier: MIT
// What a draft learns from a teacher: the Kullback-Leibler divergence over the teacher's k likeliest tokens
// and one bucket for all others. Called by TrainModel::loss for batches with a teacher.
#pragma once

#include <torch/types.h>

#include "train/dataset.h"

namespace tern::train {

/// scale * sum over the positions with mask 1 of KL(p || q), where p are the teacher's probabilities of its
/// tokens and of the rest, q = softmax(logits) of the same. `logits` f32 [rows * context, vocab]; gradients
/// follow it.
torch::Tensor distill_loss(const torch::Tensor& logits, const Batch& batch, double scale);

}  // namespace tern::train
