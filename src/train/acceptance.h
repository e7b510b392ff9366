// SPDX-License-Identifier: MIT
// How good a draft model is for a teacher: how many of K proposed tokens speculative decoding would accept.
// Decides how that is measured; called by `tern distill --acceptance`. Needs no torch.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "core/result.h"
#include "runtime/runner.h"
#include "runtime/sampler.h"

namespace tern::train {

constexpr int32_t kMostProposed = 8;

struct AcceptanceOptions {
  int64_t prompts = 32;        // places of the text that are continued
  int64_t prompt_tokens = 64;  // given at each
  int64_t new_tokens = 64;     // that the teacher continues with
  int32_t first = -1;          // token put before every prompt (BOS), -1: none
  SamplingParams sampling;     // of the sampled mode; the greedy one has temperature 0
  std::function<void(int64_t done, int64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

/// What proposing K tokens at a time gives: the teacher checks them in one step, keeps those up to the first
/// that differs from its own, and adds one of its own.
struct Accepted {
  int64_t steps = 0, accepted = 0;  // steps of the teacher, proposals it kept
  double mean() const { return steps == 0 ? 0 : static_cast<double>(accepted) / static_cast<double>(steps); }
};

struct AcceptanceMode {
  std::array<Accepted, kMostProposed> k;  // [K - 1]
  int64_t positions = 0,
          matches = 0;  // tokens of the teacher, those that the draft gives after the same past
  double overlap = 0;   // mean over positions of sum min(p, q): what no exact rule can exceed
};

struct AcceptanceReport {
  AcceptanceMode greedy, sampled;
  int64_t prompts = 0;
};

/// Continues `options.prompts` places of `text`, evenly spread, with the teacher, greedily and sampled, and
/// counts what the draft would have been granted along the way. A proposal is accepted exactly where it
/// equals the teacher's token; in the sampled mode both draw with the same random numbers (sampler.h), as
/// speculative decoding does. `overlap` is measured at temperature 1 without cuts, on the same continuations.
/// Deterministic. Errors: kUsage where vocabularies differ, the text is too short, or a runner too small;
/// those of Runner; kCancelled.
Result<AcceptanceReport> measure_acceptance(Runner& teacher, Runner& draft, std::span<const int32_t> text,
                                            const AcceptanceOptions& options);

/// Counts steps and accepted proposals of K at a time along a continuation; `matches`[i]: the draft's token i
/// is the teacher's. Proposals that would reach past the end are not made.
Accepted count_accepted(std::span<const uint8_t> matches, int32_t k);

}  // namespace tern::train
