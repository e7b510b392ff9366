// SPDX-License-Identifier: MIT
#include "runtime/score.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"

namespace tern {

double log_probability(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) {
    const double difference = static_cast<double>(x) - top;
    if (difference > -700) sum += portable_exp(difference);  // below, e^x adds nothing to a sum >= 1
  }
  return static_cast<double>(logits[static_cast<size_t>(token)]) - top - portable_log(sum);
}

namespace {

/// Scores tokens[1..] of one window that has just been started; `fed` includes a leading BOS where there is
/// one.
Status score_window(Runner& runner, std::span<const int32_t> fed, std::vector<double>& nll,
                    const std::function<void(int64_t)>& progress) {
  Sequence sequence = runner.new_sequence();
  const auto vocab = static_cast<size_t>(runner.model().config().vocab_size);
  const auto chunk = static_cast<size_t>(std::min(runner.max_rows(), runner.max_logit_rows()));
  for (size_t begin = 0; begin + 1 < fed.size();) {
    const size_t count = std::min(chunk, fed.size() - 1 - begin);
    const StepInput input{&sequence, fed.subspan(begin, count), LogitsWanted::kAll};
    TERN_TRY_ASSIGN(const std::span<const float> logits, runner.step({&input, 1}));
    for (size_t i = 0; i < count; ++i) {
      nll.push_back(-log_probability(logits.subspan(i * vocab, vocab), fed[begin + i + 1]));
      if (!std::isfinite(nll.back())) {
        return make_error(ErrorCode::kNumeric, "the logits at token {} are not finite", begin + i);
      }
    }
    begin += count;
    progress(static_cast<int64_t>(begin));
  }
  return {};
}

}  // namespace

Result<Score> score_tokens(Runner& runner, std::span<const int32_t> tokens, int64_t window, int32_t first,
                           const std::function<void(int64_t done, int64_t total)>& progress) {
  const size_t lead = first >= 0 ? 1 : 0;
  if (tokens.size() + lead < 2) {
    return make_error(ErrorCode::kUsage, "perplexity needs at least 2 tokens, found {}", tokens.size());
  }
  if (window < 2 || window > runner.context()) {
    return make_error(ErrorCode::kUsage, "the window is {} tokens, expected 2 to the context of {}", window,
                      runner.context());
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= runner.model().config().vocab_size) {
      return make_error(ErrorCode::kUsage, "token id {} is outside the vocabulary (0 to {})", token,
                        runner.model().config().vocab_size - 1);
    }
  }
  Score score;
  const size_t step = static_cast<size_t>(window) - lead;
  for (size_t begin = 0; begin < tokens.size(); begin += step) {
    const auto part = tokens.subspan(begin, std::min(step, tokens.size() - begin));
    if (part.size() + lead < 2) break;  // a last window of one token has nothing to score
    std::vector<int32_t> fed(part.begin(), part.end());
    if (lead == 1) fed.insert(fed.begin(), first);
    TERN_TRY(score_window(runner, fed, score.nll, [&](int64_t done) {
      if (progress) progress(static_cast<int64_t>(begin) + done, static_cast<int64_t>(tokens.size()));
    }));
  }
  double sum = 0, squares = 0;
  for (const double x : score.nll) sum += x;
  score.tokens = static_cast<int64_t>(score.nll.size());
  score.mean_nll = sum / static_cast<double>(score.tokens);
  for (const double x : score.nll) squares += (x - score.mean_nll) * (x - score.mean_nll);
  if (score.tokens > 1) {
    score.std_error =
        std::sqrt(squares / static_cast<double>(score.tokens - 1) / static_cast<double>(score.tokens));
  }
  score.perplexity = portable_exp(std::min(score.mean_nll, 690.0));
  return score;
}

}  // namespace tern
