// SPDX-License-Identifier: MIT
// The token loop of one answer: feed the prompt, sample, feed, until a stop. Tokens in, tokens out; text is
// layered on by generate_text.h.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <span>
#include <vector>

#include "runtime/runner.h"
#include "runtime/sampler.h"

namespace tern {

enum class FinishReason : uint8_t { kStop, kLength, kContextFull, kCancelled, kCallback };

/// "stop", "length", "context", "cancelled", "callback"
const char* finish_reason_name(FinishReason reason);

struct GenerateParams {
  SamplingParams sampling;
  int64_t max_tokens = -1;        // -1: until a stop or the end of the context
  std::vector<int32_t> stop_ids;  // end the answer; not part of it
  uint32_t choice = 0;
  std::function<void(int64_t done, int64_t total)> on_prefill;  // after each chunk of the prompt
  std::function<bool(int32_t token)> on_token;                  // false ends the answer after this token
  const std::atomic<bool>* cancel = nullptr;
};

struct Timings {
  int64_t prompt_tokens = 0;     // fed now
  int64_t cached_tokens = 0;     // of the prompt, already in the sequence
  int64_t generated_tokens = 0;  // given to on_token
  double prefill_seconds = 0;
  double decode_seconds = 0;  // from the first sampled token to the last
};

struct GenerateResult {
  std::vector<int32_t> tokens;  // the answer, without the stop token
  FinishReason finish = FinishReason::kStop;
  Timings timings;
};

/// Continues `sequence` with `prompt`. The longest common prefix of what the sequence holds and `prompt` is
/// kept, the rest of the sequence is rolled back, so a conversation re-sent with one more turn only feeds the
/// new part. The answer's tokens are in the sequence afterwards (but for the last one, which nothing has read
/// yet). Errors: kUsage for an empty prompt or bad ids, kOutOfMemory where the prompt alone does not fit,
/// kNumeric.
Result<GenerateResult> generate(Runner& runner, Sequence& sequence, std::span<const int32_t> prompt,
                                const GenerateParams& params);

}  // namespace tern
