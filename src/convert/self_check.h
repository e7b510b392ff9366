// SPDX-License-Identifier: MIT
// Logits of a whole model with the memory of one layer: every layer is loaded as a model of its own whose
// embedding are the hidden states so far. Written against the loader and the forward pass that everything
// else uses, so that it proves those. Used by certificates, verify and the byte-order test.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "convert/certificate.h"
#include "formats/weights.h"
#include "kernels/backend.h"
#include "model/model.h"

namespace tern {

/// Where the streamed forward pass puts its results.
struct StreamedLogits {
  int64_t vocab = 0;
  std::vector<float> logits;  // [wanted rows, vocab]
};

/// Logits of `tokens` (at most 64, one sequence from position 0): of the last one, or of all. Errors: those
/// of Model::load; kNumeric where a value is not finite; kUsage for a token outside the vocabulary.
Result<StreamedLogits> streamed_logits(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                       const LoadOptions& options, std::span<const int32_t> tokens,
                                       bool all_rows,
                                       const std::function<void(int64_t done, int64_t total)>& progress = {});

/// The tokens of the self-check: a fixed walk over the vocabulary.
std::vector<int32_t> self_check_tokens(int64_t vocab);

/// What `backend` computes for the tokens of `expected`, or, where that is null, for the fixed ones.
Result<SelfCheck> run_self_check(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                 const LoadOptions& options, const SelfCheck* expected,
                                 const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace tern
