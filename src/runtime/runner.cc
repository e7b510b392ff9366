// SPDX-License-Identifier: MIT
#include "runtime/runner.h"

#include <algorithm>

#include "core/check.h"

namespace tern {

KvType default_kv_type(const Config& config) {
  constexpr int64_t kSmall = int64_t{64} << 20;
  const int64_t pages = (config.max_seq_len + kPageRows - 1) / kPageRows;
  return pages <= kSmall / KvCache::bytes_per_page(config, KvType::kF32) ? KvType::kF32 : KvType::kF16;
}

Result<std::unique_ptr<Runner>> Runner::create(std::shared_ptr<const Model> model, Backend& backend,
                                               const RunnerOptions& options) {
  const Config& config = model->config();
  const int64_t context = options.context > 0 ? options.context : config.max_seq_len;
  constexpr int64_t kMaxContext = int64_t{1} << 40;  // above any model; pages stay in their range
  if (context < 1 || context > kMaxContext) {
    return make_error(ErrorCode::kUsage, "a context of {} tokens: expected 1 to {}", context, kMaxContext);
  }
  TERN_CHECK(options.max_rows >= 1 && options.max_logit_rows >= 1, "a step needs at least one row");
  const int64_t max_rows = std::min(options.max_rows, context);
  const int64_t max_logit_rows = std::min(options.max_logit_rows, max_rows);
  const int64_t num_pages = (context + kPageRows - 1) / kPageRows;
  TERN_TRY_ASSIGN(KvCache cache, KvCache::create(config, options.kv_type.value_or(default_kv_type(config)),
                                                 num_pages, backend));
  TERN_TRY_ASSIGN(StepBuffers buffers, StepBuffers::create(config, backend, max_rows, max_logit_rows));
  return std::unique_ptr<Runner>(
      new Runner(std::move(model), backend, std::move(cache), std::move(buffers), context));
}

Status Runner::check_tokens(std::span<const int32_t> tokens) const {
  const int64_t vocab = model_->config().vocab_size;
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocab) {
      return make_error(ErrorCode::kUsage, "token id {} is outside the vocabulary (0 to {})", token,
                        vocab - 1);
    }
  }
  return {};
}

void Runner::roll_back(std::span<const StepInput> inputs) {
  for (const StepInput& input : inputs) {
    input.sequence->truncate(input.sequence->length() - static_cast<int64_t>(input.tokens.size()));
  }
}

Result<std::span<const float>> Runner::step(std::span<const StepInput> inputs, StepOutput output) {
  rows_.clear();
  int64_t total = 0;
  for (const StepInput& input : inputs) {
    TERN_TRY(check_tokens(input.tokens));
    total += static_cast<int64_t>(input.tokens.size());
  }
  TERN_CHECK(total <= buffers_.max_rows, "a step of more rows than max_rows");
  int64_t wanted = 0;
  for (const StepInput& input : inputs) {
    const int64_t begin = input.sequence->length();
    const auto count = static_cast<int64_t>(input.tokens.size());
    if (!input.sequence->append(input.tokens.data(), count).ok()) {
      roll_back(inputs.first(static_cast<size_t>(&input - inputs.data())));
      return make_error(ErrorCode::kOutOfMemory, "the context is full: {} tokens fit (-c makes it larger)",
                        context_);
    }
    for (int64_t i = 0; i < count; ++i) {
      const bool wants =
          input.wanted == LogitsWanted::kAll || (input.wanted == LogitsWanted::kLast && i + 1 == count);
      rows_.push_back({input.tokens[static_cast<size_t>(i)], {begin + i, input.sequence->pages()}, wants});
      wanted += wants ? 1 : 0;
    }
  }
  const bool wants_hidden = output == StepOutput::kHidden;
  TERN_CHECK(wants_hidden || wanted <= buffers_.max_logit_rows, "more logit rows than max_logit_rows");
  model_->forward(backend_, cache_.view(), rows_, buffers_, output);

  for (int64_t row = 0; row < total; ++row) {
    if (buffers_.bad[row] == 0) continue;
    roll_back(inputs);
    return make_error(ErrorCode::kNumeric,
                      "an activation at position {} is not finite, or too large for an f16 KV cache "
                      "(--kv-type f32 holds more)",
                      rows_[static_cast<size_t>(row)].place.position);
  }
  const Config& config = model_->config();
  if (wants_hidden)
    return std::span<const float>(buffers_.a, static_cast<size_t>(wanted * config.hidden_size));
  return std::span<const float>(buffers_.logits, static_cast<size_t>(wanted * config.vocab_size));
}

Result<std::span<const float>> Runner::feed(Sequence& sequence, std::span<const int32_t> tokens,
                                            const std::function<void(int64_t done)>& progress,
                                            const std::atomic<bool>* cancel) {
  TERN_CHECK(!tokens.empty(), "nothing to feed");
  std::span<const float> logits;
  for (size_t begin = 0; begin < tokens.size();) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      return make_error(ErrorCode::kCancelled, "stopped after {} of {} tokens", begin, tokens.size());
    }
    const size_t count = std::min(tokens.size() - begin, static_cast<size_t>(buffers_.max_rows));
    const bool is_last = begin + count == tokens.size();
    const StepInput input{&sequence, tokens.subspan(begin, count),
                          is_last ? LogitsWanted::kLast : LogitsWanted::kNone};
    TERN_TRY_ASSIGN(logits, step({&input, 1}));
    begin += count;
    if (progress) progress(static_cast<int64_t>(begin));
  }
  return logits;
}

}  // namespace tern
