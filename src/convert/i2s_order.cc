// SPDX-License-Identifier: MIT
#include "convert/i2s_order.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "convert/self_check.h"
#include "runtime/score.h"

namespace tern {
namespace {

// Plain English; some 70 tokens of a large vocabulary, more of a small one. The first 64 tokens are scored.
constexpr std::string_view kText =
    "Once upon a time there was a little girl who lived with her mother in a small house near the forest. "
    "One day she "
    "went to the river to play with her friends. They saw a big dog and a little bird in the tree. The girl "
    "was very "
    "happy, and she said, \"Look at the bird! It can sing.\" Then they all went home to eat and to sleep.";
constexpr size_t kTokens = 64;
// Another order is better when it saves this many nats per token and the difference is no accident of the
// text.
constexpr double kClearNats = 1.0, kClearDeviations = 4.0;

constexpr std::array<I2sOrder, 3> kOrders = {I2sOrder::kX86_128, I2sOrder::kArm_64, I2sOrder::kX86_1x4};

bool allows(const GgufFile& file, I2sOrder order) {
  return std::all_of(file.tensors.begin(), file.tensors.end(), [order](const GgufTensorInfo& t) {
    if (t.dtype != DType::kI2_S) return true;
    if (order == I2sOrder::kX86_1x4) return t.rows() % 4 == 0;
    return t.cols() % (order == I2sOrder::kArm_64 ? 64 : 128) == 0;
  });
}

/// Negative log-likelihood of tokens[1..], nats.
Result<std::vector<double>> score(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                  I2sOrder order, std::span<const int32_t> tokens) {
  LoadOptions options;
  options.i2s_order = order;
  TERN_TRY_ASSIGN(const StreamedLogits out, streamed_logits(weights, backend, options, tokens, true));
  std::vector<double> nll;
  const auto vocab = static_cast<size_t>(out.vocab);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    nll.push_back(-log_probability(std::span(out.logits).subspan(i * vocab, vocab), tokens[i + 1]));
  }
  return nll;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

bool is_clearly_better(const std::vector<double>& other, const std::vector<double>& assumed) {
  std::vector<double> saved(other.size());
  for (size_t i = 0; i < saved.size(); ++i) saved[i] = assumed[i] - other[i];
  const double average = mean(saved);
  double squares = 0;
  for (const double s : saved) squares += (s - average) * (s - average);
  const double n = static_cast<double>(saved.size());
  const double deviation = std::sqrt(squares / (n - 1) / n);
  return average > std::max(kClearNats, kClearDeviations * deviation);
}

Result<std::vector<int32_t>> text_tokens(const GgufFile& file, const OpenTokenizer& open_tokenizer) {
  if (!open_tokenizer) return make_error(ErrorCode::kNotFound, "no tokenizer");
  TERN_TRY_ASSIGN(const auto tokenizer, open_tokenizer(file));
  std::vector<int32_t> tokens = tokenizer->encode(kText);
  if (tokens.size() > kTokens) tokens.resize(kTokens);
  if (tokens.size() < 16)
    return make_error(ErrorCode::kNotFound, "the tokenizer gives the test text {} tokens", tokens.size());
  return tokens;
}

}  // namespace

std::string_view i2s_order_name(I2sOrder order) {
  return order == I2sOrder::kX86_128 ? "x86-128" : order == I2sOrder::kArm_64 ? "arm-64" : "x86-1x4";
}

bool has_unmarked_i2s(const GgufFile& file) {
  return file.find("tern.i2_s.order") == nullptr &&
         std::any_of(file.tensors.begin(), file.tensors.end(),
                     [](const GgufTensorInfo& t) { return t.dtype == DType::kI2_S; });
}

Result<OrderVerdict> compare_i2s_orders(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                        I2sOrder assumed, const OpenTokenizer& open_tokenizer) {
  OrderVerdict verdict;
  verdict.assumed = assumed;
  const auto tokens = text_tokens(weights->gguf(), open_tokenizer);
  if (!tokens.ok()) {
    verdict.unchecked = fmt::format("the byte order of I2_S could not be tested: {}", tokens.error().message);
    return verdict;
  }
  std::vector<double> assumed_nll;
  if (allows(weights->gguf(), assumed)) {
    TERN_TRY_ASSIGN(assumed_nll, score(weights, backend, assumed, *tokens));
    verdict.comparison = fmt::format("{} {:.2f}", i2s_order_name(assumed), mean(assumed_nll));
  }
  double best = 0;
  for (const I2sOrder order : kOrders) {
    if (order == assumed || !allows(weights->gguf(), order)) continue;
    const auto nll = score(weights, backend, order, *tokens);
    if (!nll.ok())
      continue;  // a code that this order has no meaning for, a value that is not finite: not better
    verdict.comparison +=
        fmt::format("{}{} {:.2f}", verdict.comparison.empty() ? "" : ", ", i2s_order_name(order), mean(*nll));
    const bool is_better = assumed_nll.empty() || is_clearly_better(*nll, assumed_nll);
    if (!is_better || (verdict.better && mean(*nll) >= best)) continue;
    verdict.better = order;
    best = mean(*nll);
  }
  verdict.comparison += " nats per token";
  return verdict;
}

}  // namespace tern
