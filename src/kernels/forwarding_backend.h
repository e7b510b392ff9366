// SPDX-License-Identifier: MIT
// A backend that passes every op on to another one: the base of those that only look at what goes by (times,
// counts of zeros, recordings of tests) and override the ops they look at.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "kernels/backend.h"

namespace tern {

class ForwardingBackend : public Backend {
 public:
  /// `inner` is borrowed.
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}

  std::string describe() const override { return inner_.describe(); }
  Result<Buffer> allocate(size_t bytes) override { return inner_.allocate(bytes); }
  Result<std::unique_ptr<PackedWeight>> pack_ternary(const TernarySource& source) override {
    return inner_.pack_ternary(source);
  }
  void embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) override {
    inner_.embed(table, tokens, h);
  }
  void embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) override {
    inner_.embed_ternary(table, tokens, h);
  }
  void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                float* y) override {
    inner_.rms_norm(x, weight, eps, rows, width, y);
  }
  void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    inner_.quantize(x, rows, width, out, bad);
  }
  void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    inner_.quantize16(x, rows, width, out, bad);
  }
  void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) override {
    inner_.ternary_matmul(x, weight, rows, y);
  }
  void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) override {
    inner_.ternary_matmul_f32(x, weight, rows, y);
  }
  void dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) override {
    inner_.dense_matmul(x, weight, rows, y);
  }
  void rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim, bool adjacent_pairs,
            const float* cos, const float* sin) override {
    inner_.rope(x, rows, heads, head_dim, rope_dim, adjacent_pairs, cos, sin);
  }
  void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                 const float* v, uint8_t* bad) override {
    inner_.append_kv(kv, layer, places, k, v, bad);
  }
  void attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places, int64_t num_heads,
                 const float* q, float* out) override {
    inner_.attention(kv, layer, places, num_heads, q, out);
  }
  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override {
    inner_.gate(kind, g, u, count, out);
  }
  void add(float* x, const float* y, int64_t count) override { inner_.add(x, y, count); }

 protected:
  Backend& inner_;
};

}  // namespace tern
