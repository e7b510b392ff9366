// SPDX-License-Identifier: MIT
// Log-probabilities and perplexity of given tokens: what `tern perplexity` and the golden tests measure.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/result.h"
#include "runtime/runner.h"

namespace tern {

/// ln p(token) under softmax(logits), in double, with our own exp and log: the same on every machine.
double log_probability(std::span<const float> logits, int32_t token);

struct Score {
  int64_t tokens = 0;       // scored tokens
  double mean_nll = 0;      // nats per token
  double std_error = 0;     // of mean_nll: sample deviation / sqrt(tokens)
  double perplexity = 0;    // exp(mean_nll)
  std::vector<double> nll;  // [tokens], nats
};

/// Teacher-forced score of tokens[1..] (each given all before it inside its window). Texts longer than
/// `window` are cut into consecutive windows of that many tokens; the first token of each window is not
/// scored (but `first`, where >= 0, is put in front of every window: BOS). Errors: kUsage for fewer than 2
/// tokens or ids outside the vocabulary.
Result<Score> score_tokens(Runner& runner, std::span<const int32_t> tokens, int64_t window, int32_t first,
                           const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace tern
