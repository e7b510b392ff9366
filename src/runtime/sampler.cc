// SPDX-License-Identifier: MIT
#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/math.h"
#include "runtime/random.h"

namespace tern {

namespace {

Status check_range(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return {};
  return make_error(ErrorCode::kUsage, "{} is {}, expected {} to {}", name, value, low, high);
}

}  // namespace

Status SamplingParams::check() const {
  TERN_TRY(check_range("temperature", temperature, 0, 1000));
  TERN_TRY(check_range("top-k", top_k, 0, std::numeric_limits<int32_t>::max()));
  TERN_TRY(check_range("top-p", top_p, 0, 1));
  TERN_TRY(check_range("min-p", min_p, 0, 1));
  TERN_TRY(check_range("repetition penalty", repetition_penalty, 1e-3, 1e3));
  TERN_TRY(check_range("presence penalty", presence_penalty, -1000, 1000));
  TERN_TRY(check_range("frequency penalty", frequency_penalty, -1000, 1000));
  TERN_TRY(check_range("repeat-last-n", repeat_last_n, -1, std::numeric_limits<int32_t>::max()));
  for (const auto& [token, bias] : logit_bias) {
    if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::kUsage, "logit bias of token {} is {}, expected a finite number or -inf",
                        token, bias);
    }
  }
  return {};
}

int32_t greedy_token(std::span<const float> logits) {
  int32_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) return -1;
    if (logits[i] > logits[static_cast<size_t>(best)]) best = static_cast<int32_t>(i);
  }
  return best;
}

Status Sampler::penalise(std::span<const int32_t> past, const SamplingParams& p) {
  const bool is_neutral = p.repetition_penalty == 1 && p.presence_penalty == 0 && p.frequency_penalty == 0;
  if (is_neutral || p.repeat_last_n == 0) return {};
  if (p.repeat_last_n > 0 && past.size() > static_cast<size_t>(p.repeat_last_n)) {
    past = past.last(static_cast<size_t>(p.repeat_last_n));
  }
  seen_.assign(past.begin(), past.end());
  std::sort(seen_.begin(), seen_.end());
  for (size_t i = 0; i < seen_.size();) {
    size_t end = i;
    while (end < seen_.size() && seen_[end] == seen_[i]) ++end;
    if (seen_[i] < 0 || static_cast<size_t>(seen_[i]) >= adjusted_.size()) {
      return make_error(ErrorCode::kUsage, "the past holds token {}, outside the vocabulary of {}", seen_[i],
                        adjusted_.size());
    }
    float& x = adjusted_[static_cast<size_t>(seen_[i])];
    x = x > 0 ? x / p.repetition_penalty : x * p.repetition_penalty;
    x -= p.presence_penalty + static_cast<float>(end - i) * p.frequency_penalty;
    i = end;
  }
  return {};
}

Result<int32_t> Sampler::arg_max() const {
  const int32_t best = greedy_token(adjusted_);
  if (adjusted_[static_cast<size_t>(best)] == -std::numeric_limits<float>::infinity()) {
    return make_error(ErrorCode::kNumeric, "every token is forbidden by logit bias");
  }
  return best;
}

/// Makes the first `count` candidates the best ones in order; `sorted` of them are in place already.
size_t Sampler::keep_top(size_t count, size_t sorted) {
  count = std::min(count, candidates_.size());
  const auto begin = candidates_.begin();
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit
                              : a.token < b.token;  // a total order: one result everywhere
  };
  if (count > sorted) {
    std::partial_sort(begin + static_cast<int64_t>(sorted), begin + static_cast<int64_t>(count),
                      candidates_.end(), before);
  }
  return count;
}

Result<int32_t> Sampler::sample(std::span<const float> logits, std::span<const int32_t> past,
                                const SamplingParams& params, const SamplePlace& place) {
  adjusted_.assign(logits.begin(), logits.end());
  for (const float x : logits) {
    if (std::isnan(x) || x == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::kNumeric,
                        "a logit is not finite: the model's weights or activations overflowed");
    }
  }
  const auto in_vocabulary = [&](int32_t t) { return t >= 0 && static_cast<size_t>(t) < logits.size(); };
  for (const auto& [token, bias] : params.logit_bias) {
    if (!in_vocabulary(token)) {
      return make_error(ErrorCode::kUsage, "logit bias for token {}, outside the vocabulary of {}", token,
                        logits.size());
    }
    adjusted_[static_cast<size_t>(token)] += bias;
  }
  TERN_TRY(penalise(past, params));
  for (const float x : adjusted_) {  // finite biases can overflow together
    if (std::isnan(x) || x == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::kUsage, "logit biases or penalties overflow: use values below 1e30");
    }
  }
  TERN_TRY_ASSIGN(const int32_t best, arg_max());
  if (params.temperature == 0 || params.top_k == 1) return best;

  candidates_.clear();
  for (size_t i = 0; i < adjusted_.size(); ++i) {
    if (adjusted_[i] != -std::numeric_limits<float>::infinity()) {
      candidates_.push_back({adjusted_[i], static_cast<int32_t>(i)});
    }
  }
  if (params.top_k > 0) {
    candidates_.resize(keep_top(static_cast<size_t>(params.top_k), 0));
  }
  return draw(candidates_.size(), params, place);
}

int32_t Sampler::draw(size_t count, const SamplingParams& params, const SamplePlace& place) {
  // Probabilities relative to the best one, e^(x - max), before temperature; summed in candidate order, which
  // is descending where top-k sorted them and by id otherwise: one order for one set of parameters.
  const float top =
      std::max_element(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
        return a.logit < b.logit;
      })->logit;
  auto relative = [top](const Candidate& c) { return static_cast<double>(exp_f32(c.logit - top)); };
  double total = 0;
  for (const Candidate& c : candidates_) total += relative(c);

  // top-p: the smallest prefix of the sorted candidates with at least that share; sorts only as far as
  // needed.
  if (params.top_p < 1) {
    double mass = 0;
    size_t kept = 0, sorted = params.top_k > 0 ? count : keep_top(256, 0);
    while (kept < count) {
      if (kept == sorted) sorted = keep_top(sorted * 8, sorted);
      mass += relative(candidates_[kept++]);
      if (mass >= static_cast<double>(params.top_p) * total) break;
    }
    count = kept;
  }
  // min-p and temperature, then the cumulative weights.
  weights_.clear();
  size_t kept = 0;
  double mass = 0;
  for (size_t i = 0; i < count; ++i) {
    const Candidate c = candidates_[i];
    if (c.logit != top && relative(c) < static_cast<double>(params.min_p)) continue;
    candidates_[kept++] = c;
    mass += static_cast<double>(exp_f32((c.logit - top) / params.temperature));
    weights_.push_back(mass);
  }
  const double target = uniform_at(params.seed, place.choice, place.position) * mass;
  const auto hit = std::upper_bound(weights_.begin(), weights_.end(), target);
  const size_t index = std::min(static_cast<size_t>(hit - weights_.begin()), kept - 1);
  return candidates_[index].token;
}

}  // namespace tern
