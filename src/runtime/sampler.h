// SPDX-License-Identifier: MIT
// From logits to a token. Pure: the same logits, past, parameters and place give the same token on every
// machine. Order of the transforms (the one of llama.cpp's default chain where both have the step):
//   logit bias -> repetition penalty -> presence and frequency penalties -> [temperature 0: arg-max, done]
//   -> top-k -> top-p -> min-p -> temperature -> draw
// Ties go to the lower token id everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"

namespace tern {

struct SamplingParams {
  float temperature = 0.8f;         // >= 0; 0 = greedy
  int32_t top_k = 40;               // keep the k largest; 0 = all
  float top_p = 0.95f;              // keep the smallest set with at least this probability; 1 = all
  float min_p = 0.05f;              // drop below min_p times the largest probability; 0 = none
  float repetition_penalty = 1.0f;  // > 0; logits of seen tokens: x > 0 ? x / penalty : x * penalty
  float presence_penalty = 0.0f;    // subtracted once from the logit of every seen token
  float frequency_penalty = 0.0f;   // subtracted per occurrence
  int32_t repeat_last_n = 64;       // the past that penalties look at; 0 = none, -1 = all
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // added; -infinity forbids a token

  /// Errors: kUsage naming the parameter, its range and its value.
  Status check() const;
};

/// Where a token is drawn: the key of the generator.
struct SamplePlace {
  uint32_t choice = 0;    // index of the answer where a request asks for several
  uint64_t position = 0;  // of the new token in its sequence
};

/// One sampler per thread of use: keeps scratch memory only, no state that changes results.
class Sampler {
 public:
  /// Errors: kNumeric where a logit is NaN or +infinity, or where every token is forbidden; kUsage for a bias
  /// outside the vocabulary, and where biases and penalties overflow.
  Result<int32_t> sample(std::span<const float> logits, std::span<const int32_t> past,
                         const SamplingParams& params, const SamplePlace& place);

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  Status penalise(std::span<const int32_t> past, const SamplingParams& params);
  Result<int32_t> arg_max() const;
  size_t keep_top(size_t count, size_t sorted);
  int32_t draw(size_t count, const SamplingParams& params, const SamplePlace& place);

  std::vector<float> adjusted_;        // [vocab]
  std::vector<Candidate> candidates_;  // descending logits, ascending ids among equals, where sorted
  std::vector<double> weights_;        // of the kept candidates
  std::vector<int32_t> seen_;          // scratch of penalise
};

/// Arg-max with ties to the lower id; -1 where a logit is NaN. For tests and greedy decoding.
int32_t greedy_token(std::span<const float> logits);

}  // namespace tern
