// SPDX-License-Identifier: MIT
// The forward pass of one step, in the order of the papers (FORMATS.md C.2): norm, q/k/v, rope, attention,
// residual, norm, gate/up, down, residual; then the head for the rows that want logits.
#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "model/model.h"

namespace tern {

namespace {

int64_t padded_columns(int64_t cols) { return (cols + kColumnPad - 1) / kColumnPad * kColumnPad; }

/// Hands out consecutive, 64-byte aligned parts of one block; with a null block it only counts.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <class T>
  T* take(int64_t count) {
    T* part = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return part;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

size_t carve(const Config& c, StepBuffers& b, std::byte* base) {
  Carver carver(base);
  const int64_t rows = b.max_rows, heads = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const int64_t widest = std::max({c.hidden_size, heads, c.intermediate_size});
  const int64_t planes = c.activation_bits == ActivationBits::kInt16 ? 2 : 1;
  b.h = carver.take<float>(rows * c.hidden_size);
  b.a = carver.take<float>(rows * widest);
  b.q = carver.take<float>(rows * heads);
  b.k = carver.take<float>(rows * kv);
  b.v = carver.take<float>(rows * kv);
  b.attn = carver.take<float>(rows * heads);
  b.gate = carver.take<float>(rows * c.intermediate_size);
  b.up = carver.take<float>(rows * c.intermediate_size);
  b.y = carver.take<float>(rows * c.hidden_size);
  b.rope_cos = carver.take<float>(rows * (c.rope_dim / 2));
  b.rope_sin = carver.take<float>(rows * (c.rope_dim / 2));
  b.logits = carver.take<float>(b.max_logit_rows * c.vocab_size);
  b.bad = carver.take<uint8_t>(rows);
  b.quantized.q = carver.take<int8_t>(rows * planes * padded_columns(widest));
  b.quantized.block_sums = carver.take<int32_t>(rows * planes * padded_columns(widest) / kColumnPad);
  b.quantized.sums = carver.take<int32_t>(rows * planes);
  b.quantized.act_scale = carver.take<float>(rows);
  return carver.used();
}

}  // namespace

Result<StepBuffers> StepBuffers::create(const Config& config, Backend& backend, int64_t max_rows,
                                        int64_t max_logit_rows) {
  StepBuffers buffers;
  buffers.max_rows = max_rows;
  buffers.max_logit_rows = max_logit_rows;
  TERN_TRY_ASSIGN(buffers.memory, backend.allocate(carve(config, buffers, nullptr)));
  carve(config, buffers, buffers.memory.data());
  return buffers;
}

void Model::fill_rope(std::span<const BatchRow> rows, StepBuffers& b) const {
  const int64_t half = config_.rope_dim / 2;
  const double magnitude = config_.rope_yarn ? config_.rope_yarn->magnitude : 1.0;
  for (size_t r = 0; r < rows.size(); ++r) {
    // As in training (FORMATS.md C.2, Hugging Face): frequency and angle are rounded to f32, then cos and
    // sin.
    const float position = static_cast<float>(rows[r].place.position / config_.rope_linear_factor);
    for (int64_t i = 0; i < half; ++i) {
      double sine, cosine;
      portable_sincos(position * rope_inv_freq_[i], &sine, &cosine);
      b.rope_cos[r * half + i] = static_cast<float>(cosine * magnitude);
      b.rope_sin[r * half + i] = static_cast<float>(sine * magnitude);
    }
  }
}

void Model::attention_block(Backend& backend, const KvView& kv, int64_t index,
                            std::span<const RowPlace> places, StepBuffers& b) const {
  const Config& c = config_;
  const Layer& layer = layers_[index];
  const auto rows = static_cast<int64_t>(places.size());
  const float* x = b.h;
  if (layer.attn_norm != nullptr) {
    backend.rms_norm(b.h, layer.attn_norm, c.rms_norm_eps, rows, c.hidden_size, b.a);
    x = b.a;
  }
  LinearInput input{x, rows, b.y, &b.quantized, b.bad, c.activation_bits};
  apply_linear(backend, layer.q, input, b.q);
  apply_linear(backend, layer.k, input, b.k);
  apply_linear(backend, layer.v, input, b.v);
  if (layer.q_norm != nullptr) {
    backend.rms_norm(b.q, layer.q_norm, c.rms_norm_eps, rows * c.num_heads, c.head_dim, b.q);
    backend.rms_norm(b.k, layer.k_norm, c.rms_norm_eps, rows * c.num_kv_heads, c.head_dim, b.k);
  }
  backend.rope(b.q, rows, c.num_heads, c.head_dim, c.rope_dim, c.rope_adjacent_pairs, b.rope_cos, b.rope_sin);
  backend.rope(b.k, rows, c.num_kv_heads, c.head_dim, c.rope_dim, c.rope_adjacent_pairs, b.rope_cos,
               b.rope_sin);
  backend.append_kv(kv, index, places, b.k, b.v, b.bad);
  backend.attention(kv, index, places, c.num_heads, b.q, b.attn);

  const int64_t width = c.num_heads * c.head_dim;
  if (layer.attn_sub_norm != nullptr) {
    backend.rms_norm(b.attn, layer.attn_sub_norm, c.rms_norm_eps, rows, width, b.attn);
  }
  LinearInput out{b.attn, rows, b.q, &b.quantized, b.bad, c.activation_bits};
  apply_linear(backend, layer.o, out, b.y);
  backend.add(b.h, b.y, rows * c.hidden_size);
}

void Model::ffn_block(Backend& backend, const Layer& layer, int64_t rows, StepBuffers& b) const {
  const Config& c = config_;
  const float* x = b.h;
  if (layer.ffn_norm != nullptr) {
    backend.rms_norm(b.h, layer.ffn_norm, c.rms_norm_eps, rows, c.hidden_size, b.a);
    x = b.a;
  }
  LinearInput input{x, rows, b.y, &b.quantized, b.bad, c.activation_bits};
  apply_linear(backend, layer.gate, input, b.gate);
  apply_linear(backend, layer.up, input, b.up);
  backend.gate(c.gate, b.gate, b.up, rows * c.intermediate_size, b.gate);
  if (layer.ffn_sub_norm != nullptr) {
    backend.rms_norm(b.gate, layer.ffn_sub_norm, c.rms_norm_eps, rows, c.intermediate_size, b.gate);
  }
  LinearInput down{b.gate, rows, b.up, &b.quantized, b.bad, c.activation_bits};
  apply_linear(backend, layer.down, down, b.y);
  backend.add(b.h, b.y, rows * c.hidden_size);
}

void Model::compute_output(Backend& backend, std::span<const BatchRow> rows, StepOutput output,
                           StepBuffers& b) const {
  const int64_t hidden = config_.hidden_size;
  std::vector<size_t> wanted;  // the rows that want a result are gathered into b.a by the final norm
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].wants_logits) continue;
    backend.rms_norm(b.h + static_cast<int64_t>(i) * hidden, output_norm_, config_.rms_norm_eps, 1, hidden,
                     b.a + static_cast<int64_t>(wanted.size()) * hidden);
    wanted.push_back(i);
  }
  if (wanted.empty() || output == StepOutput::kHidden) return;
  const auto count = static_cast<int64_t>(wanted.size());
  TERN_CHECK(count <= b.max_logit_rows, "more logit rows than the buffers hold");
  std::vector<uint8_t> bad(wanted.size());
  LinearInput input{b.a, count, nullptr, &b.quantized, bad.data(), config_.activation_bits};
  apply_linear(backend, head_, input, b.logits);
  for (size_t i = 0; i < wanted.size(); ++i) b.bad[wanted[i]] |= bad[i];
}

void Model::forward(Backend& backend, const KvView& kv, std::span<const BatchRow> rows, StepBuffers& b,
                    StepOutput output) const {
  const auto count = static_cast<int64_t>(rows.size());
  TERN_CHECK(count <= b.max_rows, "a step of more rows than its buffers");
  std::vector<int32_t> tokens(rows.size());
  std::vector<RowPlace> places(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    TERN_CHECK(rows[i].token >= 0 && rows[i].token < config_.vocab_size, "token id out of range");
    tokens[i] = rows[i].token;
    places[i] = rows[i].place;
  }
  std::fill_n(b.bad, count, uint8_t{0});
  fill_rope(rows, b);
  if (embedding_.ternary) {
    backend.embed_ternary(*embedding_.ternary, tokens, b.h);
  } else {
    backend.embed(embedding_.dense, tokens, b.h);
  }
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    attention_block(backend, kv, layer, places, b);
    ffn_block(backend, layers_[layer], count, b);
  }
  // Ternary linears have checked their inputs; this also catches dense models and the last residual.
  backend.quantize(b.h, count, config_.hidden_size, &b.quantized, b.bad);
  compute_output(backend, rows, output, b);
}

}  // namespace tern
