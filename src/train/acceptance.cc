// SPDX-License-Identifier: MIT
#include "train/acceptance.h"

#include <algorithm>
#include <vector>

#include "core/math.h"

namespace tern::train {
namespace {

// softmax of logits in f32; sums to 1 within rounding.
void softmax(std::span<const float> logits, std::vector<float>& out) {
  const float greatest = *std::max_element(logits.begin(), logits.end());
  out.resize(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i)
    sum += static_cast<double>(out[i] = exp_f32(logits[i] - greatest));
  for (float& p : out) p = static_cast<float>(static_cast<double>(p) / sum);
}

double overlap_of(const std::vector<float>& p, const std::vector<float>& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += static_cast<double>(std::min(p[i], q[i]));
  return sum;
}

// The teacher's continuation of one prompt, and what it thought at each token.
struct Continuation {
  std::vector<int32_t> tokens;              // the prompt, then the continuation
  std::vector<std::vector<float>> chances;  // [new_tokens, vocab]
};

Result<Continuation> continue_prompt(Runner& teacher, Sampler& sampler, std::vector<int32_t> prompt,
                                     const SamplingParams& params, int64_t new_tokens) {
  Continuation out{std::move(prompt), {}};
  Sequence sequence = teacher.new_sequence();
  TERN_TRY_ASSIGN(std::span<const float> logits, teacher.feed(sequence, out.tokens));
  for (int64_t i = 0; i < new_tokens; ++i) {
    softmax(logits, out.chances.emplace_back());
    const SamplePlace place{.choice = 0, .position = out.tokens.size()};
    TERN_TRY_ASSIGN(const int32_t token, sampler.sample(logits, out.tokens, params, place));
    out.tokens.push_back(token);
    if (i + 1 == new_tokens) break;
    const StepInput input{&sequence, std::span(&out.tokens.back(), 1), LogitsWanted::kLast};
    TERN_TRY_ASSIGN(logits, teacher.step({&input, 1}));
  }
  return out;
}

// Runs the draft along the teacher's continuation: as long as all proposals before were accepted its past is
// the teacher's, so one pass tells what it proposes at every token.
Result<std::vector<uint8_t>> run_draft(Runner& draft, Sampler& sampler, const Continuation& c,
                                       const SamplingParams& params, AcceptanceMode& mode) {
  Sequence sequence = draft.new_sequence();
  const size_t begin = c.tokens.size() - c.chances.size();
  const auto vocab = static_cast<size_t>(draft.model().config().vocab_size);
  const auto most = static_cast<size_t>(std::min(draft.max_rows(), draft.max_logit_rows()));
  TERN_TRY_ASSIGN(std::span<const float> logits, draft.feed(sequence, std::span(c.tokens).first(begin)));
  std::vector<uint8_t> matches;
  std::vector<float> chances;
  size_t behind = begin;  // tokens whose logits are not asked for yet
  while (matches.size() < c.chances.size()) {
    if (logits.empty()) {
      const size_t count = std::min(most, c.tokens.size() - 1 - behind);
      const StepInput input{&sequence, std::span(c.tokens).subspan(behind, count), LogitsWanted::kAll};
      TERN_TRY_ASSIGN(logits, draft.step({&input, 1}));
      behind += count;
    }
    const size_t at = begin + matches.size();
    softmax(logits.first(vocab), chances);
    mode.overlap += overlap_of(c.chances[matches.size()], chances);
    TERN_TRY_ASSIGN(const int32_t token, sampler.sample(logits.first(vocab), std::span(c.tokens).first(at),
                                                        params, {.choice = 0, .position = at}));
    matches.push_back(token == c.tokens[at]);
    logits = logits.subspan(vocab);
  }
  return matches;
}

Status check(const Runner& teacher, const Runner& draft, std::span<const int32_t> text,
             const AcceptanceOptions& o) {
  const int64_t vocab = teacher.model().config().vocab_size, other = draft.model().config().vocab_size;
  if (vocab != other) {
    return make_error(ErrorCode::kUsage, "the teacher has {} tokens, the draft {}: they need one tokenizer",
                      vocab, other);
  }
  if (o.prompts < 1 || o.prompt_tokens < 1 || o.new_tokens < 1) {
    return make_error(ErrorCode::kUsage,
                      "prompts, prompt tokens and new tokens: expected at least 1 of each");
  }
  if (static_cast<int64_t>(text.size()) < o.prompt_tokens) {
    return make_error(ErrorCode::kUsage, "the text has {} tokens, one prompt takes {}", text.size(),
                      o.prompt_tokens);
  }
  const int64_t needed = 1 + o.prompt_tokens + o.new_tokens;
  if (teacher.context() < needed || draft.context() < needed) {
    return make_error(ErrorCode::kUsage,
                      "prompt and continuation take {} tokens, the contexts hold {} and {}", needed,
                      teacher.context(), draft.context());
  }
  return o.sampling.check();
}

Status measure_mode(Runner& teacher, Runner& draft, const std::vector<int32_t>& prompt,
                    const SamplingParams& params, int64_t new_tokens, AcceptanceMode& mode) {
  Sampler sampler;
  TERN_TRY_ASSIGN(const Continuation c, continue_prompt(teacher, sampler, prompt, params, new_tokens));
  TERN_TRY_ASSIGN(const std::vector<uint8_t> matches, run_draft(draft, sampler, c, params, mode));
  for (int32_t k = 1; k <= kMostProposed; ++k) {
    const Accepted accepted = count_accepted(matches, k);
    mode.k[static_cast<size_t>(k - 1)].steps += accepted.steps;
    mode.k[static_cast<size_t>(k - 1)].accepted += accepted.accepted;
  }
  mode.positions += static_cast<int64_t>(matches.size());
  mode.matches += std::count(matches.begin(), matches.end(), 1);
  return {};
}

}  // namespace

Accepted count_accepted(std::span<const uint8_t> matches, int32_t k) {
  Accepted out;
  const auto most = static_cast<size_t>(k);
  for (size_t at = 0; at + most <= matches.size();) {
    size_t kept = 0;
    while (kept < most && matches[at + kept] != 0) ++kept;
    ++out.steps;
    out.accepted += static_cast<int64_t>(kept);
    at += kept + 1;
  }
  return out;
}

Result<AcceptanceReport> measure_acceptance(Runner& teacher, Runner& draft, std::span<const int32_t> text,
                                            const AcceptanceOptions& options) {
  TERN_TRY(check(teacher, draft, text, options));
  AcceptanceReport report;
  SamplingParams greedy;
  greedy.temperature = 0;
  const int64_t places = static_cast<int64_t>(text.size()) - options.prompt_tokens + 1;
  report.prompts = std::min(options.prompts, places);
  for (int64_t i = 0; i < report.prompts; ++i) {
    if (options.cancel != nullptr && options.cancel->load())
      return make_error(ErrorCode::kCancelled, "stopped after {} prompts", i);
    std::vector<int32_t> prompt;
    if (options.first >= 0) prompt.push_back(options.first);
    const auto given = text.subspan(static_cast<size_t>(i * places / report.prompts),
                                    static_cast<size_t>(options.prompt_tokens));
    prompt.insert(prompt.end(), given.begin(), given.end());
    TERN_TRY(measure_mode(teacher, draft, prompt, greedy, options.new_tokens, report.greedy));
    TERN_TRY(measure_mode(teacher, draft, prompt, options.sampling, options.new_tokens, report.sampled));
    if (options.progress) options.progress(i + 1, report.prompts);
  }
  for (AcceptanceMode* mode : {&report.greedy, &report.sampled}) {
    if (mode->positions > 0) mode->overlap /= static_cast<double>(mode->positions);
  }
  return report;
}

}  // namespace tern::train
