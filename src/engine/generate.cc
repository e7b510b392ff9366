// SPDX-License-Identifier: MIT
#include "engine/generate.h"

#include <algorithm>

namespace tern {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Rolls the sequence back to what it shares with the prompt; at least the prompt's last token is fed again,
/// since its logits are needed.
int64_t keep_common_prefix(Sequence& sequence, std::span<const int32_t> prompt) {
  const auto& held = sequence.tokens();
  const size_t limit = std::min(held.size(), prompt.size() - 1);
  size_t common = 0;
  while (common < limit && held[common] == prompt[common]) ++common;
  sequence.truncate(static_cast<int64_t>(common));
  return static_cast<int64_t>(common);
}

bool is_cancelled(const GenerateParams& params) {
  return params.cancel != nullptr && params.cancel->load(std::memory_order_relaxed);
}

/// Feeds what is new of the prompt. A cancelled prefill is no error: result->finish says so and the logits
/// are empty.
Result<std::span<const float>> feed_prompt(Runner& runner, Sequence& sequence,
                                           std::span<const int32_t> prompt, const GenerateParams& params,
                                           GenerateResult* result) {
  const auto begin = Clock::now();
  result->timings.cached_tokens = keep_common_prefix(sequence, prompt);
  const auto rest = prompt.subspan(static_cast<size_t>(result->timings.cached_tokens));
  const auto total = static_cast<int64_t>(rest.size());
  const auto on_chunk = [&](int64_t done) {
    if (params.on_prefill) params.on_prefill(done, total);
  };
  auto logits = runner.feed(sequence, rest, on_chunk, params.cancel);
  result->timings.prompt_tokens = total;
  result->timings.prefill_seconds = seconds_since(begin);
  if (!logits.ok() && logits.error().code == ErrorCode::kCancelled) {
    result->finish = FinishReason::kCancelled;
    return std::span<const float>();
  }
  return logits;
}

/// Samples and feeds tokens until something ends the answer.
Status decode(Runner& runner, Sequence& sequence, std::span<const int32_t> prompt,
              std::span<const float> logits, const GenerateParams& params, GenerateResult* result) {
  const auto begin = Clock::now();
  Sampler sampler;
  std::vector<int32_t> past(prompt.begin(), prompt.end());
  int64_t& count = result->timings.generated_tokens;
  result->finish = FinishReason::kLength;
  while (params.max_tokens < 0 || count < params.max_tokens) {
    TERN_TRY_ASSIGN(const int32_t token,
                    sampler.sample(logits, past, params.sampling, {params.choice, past.size()}));
    if (std::find(params.stop_ids.begin(), params.stop_ids.end(), token) != params.stop_ids.end()) {
      result->finish = FinishReason::kStop;
      break;
    }
    result->tokens.push_back(token);
    past.push_back(token);
    ++count;
    result->timings.decode_seconds = seconds_since(begin);
    if (params.on_token && !params.on_token(token)) {
      result->finish = FinishReason::kCallback;
      break;
    }
    if (is_cancelled(params)) {
      result->finish = FinishReason::kCancelled;
      break;
    }
    if (count == params.max_tokens) break;
    if (sequence.length() >= runner.context()) {
      result->finish = FinishReason::kContextFull;
      break;
    }
    const StepInput input{&sequence, {&token, 1}, LogitsWanted::kLast};
    TERN_TRY_ASSIGN(logits, runner.step({&input, 1}));
  }
  return {};
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextFull:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kCallback:
      return "callback";
  }
  return "?";
}

Result<GenerateResult> generate(Runner& runner, Sequence& sequence, std::span<const int32_t> prompt,
                                const GenerateParams& params) {
  TERN_TRY(params.sampling.check());
  if (prompt.empty())
    return make_error(ErrorCode::kUsage, "the prompt is empty: at least one token is needed");
  if (static_cast<int64_t>(prompt.size()) > runner.context()) {
    return make_error(ErrorCode::kOutOfMemory,
                      "the prompt has {} tokens, the context holds {} (-c makes it larger)", prompt.size(),
                      runner.context());
  }
  GenerateResult result;
  TERN_TRY_ASSIGN(const std::span<const float> logits,
                  feed_prompt(runner, sequence, prompt, params, &result));
  if (!logits.empty()) TERN_TRY(decode(runner, sequence, prompt, logits, params, &result));
  return result;
}

}  // namespace tern
