// SPDX-License-Identifier: MIT
#include "convert/self_check.h"

#include <algorithm>
#include <numeric>

#include "runtime/kv_cache.h"
#include "runtime/runner.h"

namespace tern {
namespace {

constexpr int64_t kMaxTokens = 64;  // one page of the cache
constexpr size_t kSelfCheckTokens = 4;
constexpr size_t kShownLogits = 5;

/// The number behind "blk.", or -1.
int64_t layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  int64_t layer = 0;
  for (size_t i = 4; i < name.size() && name[i] != '.'; ++i) {
    if (name[i] < '0' || name[i] > '9' || layer > 1'000'000) return -1;
    layer = 10 * layer + (name[i] - '0');
  }
  return layer;
}

class LayerStream {
 public:
  LayerStream(const std::shared_ptr<const Weights>& weights, Backend& backend, const LoadOptions& options)
      : weights_(weights), backend_(backend), options_(options) {}

  Result<StreamedLogits> run(std::span<const int32_t> tokens, bool all_rows,
                             const std::function<void(int64_t, int64_t)>& progress);

 private:
  Result<std::shared_ptr<const Weights>> part(int64_t layer) const;
  Status run_layer(int64_t layer, bool all_rows, StreamedLogits* out);

  const std::shared_ptr<const Weights>& weights_;
  Backend& backend_;
  const LoadOptions& options_;
  Config config_;
  KvType kv_type_ = KvType::kF16;
  std::vector<int32_t> tokens_;  // of the next layer's embedding: the real ids first, then rows of hidden_
  Buffer hidden_;  // f32 [vocab, hidden], of which [tokens, hidden] are used: a head must have as many
                   // rows as the embedding, and rows that nobody reads take no memory
};

/// One layer as a model: its tensors as layer 0, beside what all layers share. From the second layer on the
/// embedding is hidden_; the last layer has the real head.
Result<std::shared_ptr<const Weights>> LayerStream::part(int64_t layer) const {
  const GgufFile& whole = weights_->gguf();
  GgufFile file = whole;
  file.tensors.clear();
  const bool is_first = layer == 0, is_last = layer + 1 == config_.num_layers;
  for (auto& [key, value] : file.metadata) {
    if (key == arch_key(config_, "block_count")) value.data = uint64_t{1};
  }
  // The embedding and counts of a part are not those of the file.
  std::erase_if(file.metadata, [&](const auto& entry) {
    return entry.first == arch_key(config_, "vocab_size") || entry.first == "tern.tensor_count" ||
           entry.first == "tern.tensor_bytes";
  });
  const GgufTensorInfo* embedding = whole.find_tensor("token_embd.weight");
  const GgufTensorInfo* head = whole.find_tensor("output.weight");
  for (const GgufTensorInfo& tensor : whole.tensors) {
    const int64_t of = layer_of(tensor.name);
    if (of >= 0 && of != layer) continue;
    if (&tensor == embedding || &tensor == head) continue;
    file.tensors.push_back(tensor);
    if (of >= 0) file.tensors.back().name = "blk.0" + tensor.name.substr(tensor.name.find('.', 4));
  }
  GgufTensorInfo states;
  states.name = "token_embd.weight";
  states.shape = {static_cast<uint64_t>(config_.hidden_size), static_cast<uint64_t>(config_.vocab_size)};
  states.byte_size = hidden_.size();
  states.data = {hidden_.data(), hidden_.size()};
  file.tensors.push_back(is_first ? *embedding : states);
  if (is_last && (head != nullptr || !is_first)) {
    file.tensors.push_back(head != nullptr ? *head : *embedding);
    file.tensors.back().name = "output.weight";
  }
  TERN_TRY(file.index_names());
  return Weights::part(*weights_, std::move(file));
}

Status LayerStream::run_layer(int64_t layer, bool all_rows, StreamedLogits* out) {
  const bool is_last = layer + 1 == config_.num_layers;
  const auto count = static_cast<int64_t>(tokens_.size());
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, part(layer));
  TERN_TRY_ASSIGN(const auto model, Model::load(weights, backend_, options_));
  TERN_TRY_ASSIGN(KvCache cache, KvCache::create(model->config(), kv_type_, 1, backend_));
  const int64_t wanted = !is_last ? 0 : all_rows ? count : 1;
  TERN_TRY_ASSIGN(StepBuffers buffers,
                  StepBuffers::create(model->config(), backend_, count, std::max<int64_t>(1, wanted)));
  const int32_t page = cache.allocate();
  std::vector<BatchRow> rows(tokens_.size());
  for (int64_t i = 0; i < count; ++i) {
    rows[i].token = tokens_[i];
    rows[i].place = {i, &page};
    rows[i].wants_logits = is_last && (all_rows || i + 1 == count);
  }
  model->forward(backend_, cache.view(), rows, buffers);
  for (int64_t i = 0; i < count; ++i) {
    if (buffers.bad[i] == 0) continue;
    return make_error(ErrorCode::kNumeric, "layer {}: a value of token {} is not finite", layer, i);
  }
  std::copy_n(buffers.h, count * config_.hidden_size, hidden_.as<float>());
  std::iota(tokens_.begin(), tokens_.end(), 0);
  if (is_last) {
    out->vocab = config_.vocab_size;
    out->logits.assign(buffers.logits, buffers.logits + wanted * out->vocab);
  }
  return {};
}

Result<StreamedLogits> LayerStream::run(std::span<const int32_t> tokens, bool all_rows,
                                        const std::function<void(int64_t, int64_t)>& progress) {
  TERN_TRY_ASSIGN(config_, inspect_config(*weights_));
  kv_type_ = default_kv_type(config_);
  const auto is_outside = [&](int32_t id) { return id < 0 || id >= config_.vocab_size; };
  if (tokens.empty() || tokens.size() > kMaxTokens || std::any_of(tokens.begin(), tokens.end(), is_outside)) {
    return make_error(ErrorCode::kUsage, "{} tokens, or one outside the vocabulary of {}", tokens.size(),
                      config_.vocab_size);
  }
  tokens_.assign(tokens.begin(), tokens.end());
  TERN_TRY_ASSIGN(hidden_, Buffer::allocate(static_cast<size_t>(config_.vocab_size) *
                                            static_cast<size_t>(config_.hidden_size) * sizeof(float)));
  StreamedLogits out;
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    TERN_TRY(run_layer(layer, all_rows, &out));
    if (progress) progress(layer + 1, config_.num_layers);
  }
  return out;
}

}  // namespace

Result<StreamedLogits> streamed_logits(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                       const LoadOptions& options, std::span<const int32_t> tokens,
                                       bool all_rows, const std::function<void(int64_t, int64_t)>& progress) {
  return LayerStream(weights, backend, options).run(tokens, all_rows, progress);
}

std::vector<int32_t> self_check_tokens(int64_t vocab) {
  std::vector<int32_t> tokens;
  uint32_t x = 1;
  for (size_t i = 0; i < kSelfCheckTokens; ++i) {
    x = x * 1664525u + 1013904223u;
    tokens.push_back(static_cast<int32_t>((x >> 8) % static_cast<uint64_t>(vocab)));
  }
  return tokens;
}

Result<SelfCheck> run_self_check(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                 const LoadOptions& options, const SelfCheck* expected,
                                 const std::function<void(int64_t, int64_t)>& progress) {
  SelfCheck check;
  TERN_TRY_ASSIGN(const Config config, inspect_config(*weights));
  check.tokens = expected != nullptr ? expected->tokens : self_check_tokens(config.vocab_size);
  TERN_TRY_ASSIGN(const StreamedLogits out,
                  streamed_logits(weights, backend, options, check.tokens, false, progress));
  Digest digest;
  digest.update(std::as_bytes(std::span(out.logits)));
  check.logits = digest.hex();
  std::vector<int32_t> order(out.logits.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t shown = std::min(kShownLogits, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
                    [&](int32_t a, int32_t b) {
                      return out.logits[a] != out.logits[b] ? out.logits[a] > out.logits[b] : a < b;
                    });
  for (size_t i = 0; i < shown; ++i) check.largest.emplace_back(order[i], out.logits[order[i]]);
  return check;
}

}  // namespace tern
