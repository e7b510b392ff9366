// SPDX-License-Identifier: MIT
#include "engine/embed.h"

#include <cmath>

namespace tern {

namespace {

constexpr const char* kPoolingNames[] = {"none", "mean", "first token", "last token", "rank"};

/// Brings a row to length 1. False where it has none.
bool normalise(std::span<const float> row, std::vector<float>* out) {
  double squares = 0;
  for (const float x : row) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::sqrt(squares);
  if (!std::isfinite(length) || length <= 0) return false;
  out->clear();
  for (const float x : row) out->push_back(static_cast<float>(static_cast<double>(x) / length));
  return true;
}

/// Some texts of one call, each in a sequence of its own, on their way through the model together.
class Batch {
 public:
  explicit Batch(Runner& runner) : runner_(runner), free_pages_(runner.cache().free_pages()) {}

  bool is_empty() const { return inputs_.empty(); }

  /// False where the step or the cache has no room left for it; an empty batch takes every text that fits the
  /// cache.
  bool add(size_t index, std::span<const int32_t> tokens) {
    const auto count = static_cast<int64_t>(tokens.size());
    const int64_t pages = (count + kPageRows - 1) / kPageRows;
    const bool fits_step = rows_ + count <= runner_.max_rows() || is_empty();
    if (!fits_step || pages > free_pages_) return false;
    rows_ += count;
    free_pages_ -= pages;
    indices_.push_back(index);
    inputs_.push_back(tokens);
    return true;
  }

  Status run(std::vector<Embedding>* out) {
    std::vector<Sequence> sequences;
    sequences.reserve(inputs_.size());
    std::vector<StepInput> step;
    for (const std::span<const int32_t> tokens : inputs_) {
      Sequence& sequence = sequences.emplace_back(runner_.new_sequence());
      // Only a text that is alone can be longer than a step: all but its last part is fed before.
      const size_t before = (tokens.size() - 1) / static_cast<size_t>(runner_.max_rows()) *
                            static_cast<size_t>(runner_.max_rows());
      for (size_t at = 0; at < before; at += static_cast<size_t>(runner_.max_rows())) {
        const StepInput part{&sequence, tokens.subspan(at, static_cast<size_t>(runner_.max_rows())),
                             LogitsWanted::kNone};
        TERN_TRY(runner_.step({&part, 1}, StepOutput::kHidden));
      }
      step.push_back({&sequence, tokens.subspan(before), LogitsWanted::kLast});
    }
    TERN_TRY_ASSIGN(const std::span<const float> hidden, runner_.step(step, StepOutput::kHidden));
    const size_t width = hidden.size() / inputs_.size();
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Embedding& embedding = (*out)[indices_[i]];
      embedding.tokens = static_cast<int64_t>(inputs_[i].size());
      if (!normalise(hidden.subspan(i * width, width), &embedding.values)) {
        return make_error(ErrorCode::kNumeric, "text {}: its vector has no length to divide by",
                          indices_[i] + 1);
      }
    }
    return {};
  }

 private:
  Runner& runner_;
  int64_t rows_ = 0, free_pages_;
  std::vector<size_t> indices_;
  std::vector<std::span<const int32_t>> inputs_;
};

Result<std::vector<std::vector<int32_t>>> encode_all(const Runner& runner, const Tokenizer& tokenizer,
                                                     std::span<const std::string> texts) {
  if (!tokenizer.eos_id()) {
    return make_error(ErrorCode::kUnsupported,
                      "the tokenizer has no EOS token, and the vector of a text is that of its EOS");
  }
  EncodeOptions options;
  options.add_eos = true;
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) {
    tokens.push_back(tokenizer.encode(text, options));
    if (static_cast<int64_t>(tokens.back().size()) <= runner.context()) continue;
    return make_error(ErrorCode::kUsage, "text {} has {} tokens, the context holds {}", tokens.size(),
                      tokens.back().size(), runner.context());
  }
  return tokens;
}

}  // namespace

Status check_embeds(const Config& config) {
  if (config.pooling == Pooling::kLast) return {};
  if (!config.pooling) {
    return make_error(
        ErrorCode::kUnsupported,
        "the model was not made for embeddings: key '{}' is missing (expected 3, last-token pooling)",
        arch_key(config, "pooling_type"));
  }
  return make_error(ErrorCode::kUnsupported, "key '{}' is {} ({}): tern computes 3, last-token pooling",
                    arch_key(config, "pooling_type"), static_cast<int>(*config.pooling),
                    kPoolingNames[static_cast<size_t>(*config.pooling)]);
}

Result<std::vector<Embedding>> embed(Runner& runner, const Tokenizer& tokenizer,
                                     std::span<const std::string> texts, const EmbedParams& params) {
  TERN_TRY(check_embeds(runner.model().config()));
  TERN_TRY_ASSIGN(const auto tokens, encode_all(runner, tokenizer, texts));
  std::vector<Embedding> embeddings(texts.size());
  for (size_t next = 0; next < tokens.size();) {
    if (params.cancel != nullptr && params.cancel->load(std::memory_order_relaxed)) {
      return make_error(ErrorCode::kCancelled, "stopped after {} of {} texts", next, tokens.size());
    }
    Batch batch(runner);
    while (next < tokens.size() && batch.add(next, tokens[next])) ++next;
    if (batch.is_empty()) {
      return make_error(ErrorCode::kOutOfMemory,
                        "text {} has {} tokens, and the KV cache has no room for them", next + 1,
                        tokens[next].size());
    }
    TERN_TRY(batch.run(&embeddings));
    if (params.on_progress) params.on_progress(next, tokens.size());
  }
  return embeddings;
}

}  // namespace tern
