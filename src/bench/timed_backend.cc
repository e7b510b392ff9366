// SPDX-License-Identifier: MIT
#include "bench/timed_backend.h"

#include <array>

namespace tern {

namespace {

/// Keys and values that the rows of one attention call read: the cache's bytes, each sequence once however
/// many of its rows are in the step.
double attention_bytes(const KvView& kv, std::span<const RowPlace> places) {
  const double per_token =
      static_cast<double>(kv.kv_heads * kv.head_dim) * 2 * (kv.type == KvType::kF16 ? 2 : 4);
  double tokens = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    // Rows of one sequence stand together, positions ascending: the last one reads what the others read.
    if (i + 1 < places.size() && places[i + 1].pages == places[i].pages) continue;
    tokens += static_cast<double>(places[i].position + 1);
  }
  return tokens * per_token;
}

double attention_operations(const KvView& kv, std::span<const RowPlace> places, int64_t num_heads) {
  double tokens = 0;
  for (const RowPlace& place : places) tokens += static_cast<double>(place.position + 1);
  return tokens * static_cast<double>(num_heads * kv.head_dim) * 4;  // QK and PV, multiply and add
}

double f32_bytes(int64_t values) { return static_cast<double>(values) * 4; }

OpEvent product_event(const PackedWeight& weight, int64_t rows) {
  return {.op = OpClass::kTernary,
          .rows = rows,
          .bytes = static_cast<double>(weight.resident_bytes()),
          .operations = 2.0 * static_cast<double>(rows) * static_cast<double>(weight.rows() * weight.cols())};
}

}  // namespace

std::string_view op_class_name(OpClass op) {
  constexpr std::array<std::string_view, kOpClasses> kNames = {
      "embed", "norm", "quantize", "ternary", "dense", "rope", "append_kv", "attention", "gate", "add"};
  return kNames[static_cast<size_t>(op)];
}

template <class Op>
void TimedBackend::timed(OpEvent event, const Op& op) {
  if (!is_recording_) return op();
  event.begin_us = now_us();
  op();
  event.end_us = now_us();
  events_.push_back(event);
}

void TimedBackend::embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) {
  const auto rows = static_cast<int64_t>(tokens.size());
  timed({.op = OpClass::kEmbed, .rows = rows, .bytes = static_cast<double>(rows * table.row_bytes)},
        [&] { inner_.embed(table, tokens, h); });
}

void TimedBackend::embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const double row_bytes = static_cast<double>(table.resident_bytes()) / static_cast<double>(table.rows());
  timed({.op = OpClass::kEmbed, .rows = rows, .bytes = static_cast<double>(rows) * row_bytes},
        [&] { inner_.embed_ternary(table, tokens, h); });
}

void TimedBackend::rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                            float* y) {
  timed({.op = OpClass::kNorm, .rows = rows, .bytes = f32_bytes(rows * width)},
        [&] { inner_.rms_norm(x, weight, eps, rows, width, y); });
}

void TimedBackend::quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) {
  timed({.op = OpClass::kQuantize, .rows = rows, .bytes = f32_bytes(rows * width)},
        [&] { inner_.quantize(x, rows, width, out, bad); });
}

void TimedBackend::quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) {
  timed({.op = OpClass::kQuantize, .rows = rows, .bytes = f32_bytes(rows * width)},
        [&] { inner_.quantize16(x, rows, width, out, bad); });
}

void TimedBackend::ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) {
  timed(product_event(weight, rows), [&] { inner_.ternary_matmul_f32(x, weight, rows, y); });
}

void TimedBackend::ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows,
                                  float* y) {
  timed(product_event(weight, rows), [&] { inner_.ternary_matmul(x, weight, rows, y); });
}

void TimedBackend::dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) {
  timed({.op = OpClass::kDense,
         .rows = rows,
         .bytes = static_cast<double>(weight.rows * weight.row_bytes),
         .operations = 2.0 * static_cast<double>(rows) * static_cast<double>(weight.rows * weight.cols)},
        [&] { inner_.dense_matmul(x, weight, rows, y); });
}

void TimedBackend::rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim,
                        bool adjacent_pairs, const float* cos, const float* sin) {
  timed({.op = OpClass::kRope, .rows = rows, .bytes = f32_bytes(rows * heads * head_dim)},
        [&] { inner_.rope(x, rows, heads, head_dim, rope_dim, adjacent_pairs, cos, sin); });
}

void TimedBackend::append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places,
                             const float* k, const float* v, uint8_t* bad) {
  const auto rows = static_cast<int64_t>(places.size());
  timed({.op = OpClass::kAppendKv,
         .rows = rows,
         .bytes = f32_bytes(2 * rows * kv.kv_heads * kv.head_dim),
         .layer = layer},
        [&] { inner_.append_kv(kv, layer, places, k, v, bad); });
}

void TimedBackend::attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places,
                             int64_t num_heads, const float* q, float* out) {
  timed({.op = OpClass::kAttention,
         .rows = static_cast<int64_t>(places.size()),
         .bytes = attention_bytes(kv, places),
         .operations = attention_operations(kv, places, num_heads),
         .layer = layer},
        [&] { inner_.attention(kv, layer, places, num_heads, q, out); });
}

void TimedBackend::gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) {
  timed({.op = OpClass::kGate, .bytes = f32_bytes(2 * count)}, [&] { inner_.gate(kind, g, u, count, out); });
}

void TimedBackend::add(float* x, const float* y, int64_t count) {
  timed({.op = OpClass::kAdd, .bytes = f32_bytes(2 * count)}, [&] { inner_.add(x, y, count); });
}

void label_events(std::vector<OpEvent>& events, int64_t num_layers) {
  // A step is: embed | num_layers blocks of q, k, v, append, attention, o, add, gate, up, gate op, down, add
  // | the final check, norm and head.
  constexpr std::array<std::string_view, 3> kBefore = {"attn_q", "attn_k", "attn_v"};
  constexpr std::array<std::string_view, 3> kAfter = {"ffn_gate", "ffn_up", "ffn_down"};
  int64_t layer = -1;
  size_t matmul = 0;
  int adds = 0;  // in this block: 0 = attention half, 1 = feed-forward half
  bool attended = false;
  for (OpEvent& event : events) {
    event.name = op_class_name(event.op);
    if (event.op == OpClass::kEmbed) {
      layer = 0, matmul = 0, adds = 0, attended = false;
      continue;
    }
    const bool is_matmul = event.op == OpClass::kTernary || event.op == OpClass::kDense;
    if (layer == num_layers) {
      event.layer = -1;
      if (is_matmul) event.name = "output";
      continue;
    }
    event.layer = layer;
    if (is_matmul) {
      event.name = !attended ? kBefore[matmul % 3] : adds == 0 ? "attn_output" : kAfter[matmul % 3];
      ++matmul;
    } else if (event.op == OpClass::kAttention) {
      attended = true;
    } else if (event.op == OpClass::kAdd) {
      matmul = 0;
      if (++adds == 2) ++layer, adds = 0, attended = false;
    }
  }
}

}  // namespace tern
