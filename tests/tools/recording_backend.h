// SPDX-License-Identifier: MIT
// A backend that passes everything on to a real one and keeps the integers of each quantisation. For
// evaluations that start from the same integers: reference_test.cc, and the tool that dumps runs for
// tests/scripts.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "kernels/backend.h"

namespace tern::test {

/// One quantisation of the run under test, in the order in which they happened.
struct RecordedRow {
  std::vector<int32_t> q;  // of 8 or 16 bits
  double act_scale;
};

/// Passes everything on to the CPU backend and keeps the integers of each quantisation; steps have one row.
class RecordingBackend : public Backend {
 public:
  explicit RecordingBackend(Backend& real) : real_(real) {}
  std::vector<RecordedRow> recorded;

  std::string describe() const override { return real_.describe(); }
  Result<Buffer> allocate(size_t bytes) override { return real_.allocate(bytes); }
  Result<std::unique_ptr<PackedWeight>> pack_ternary(const TernarySource& source) override {
    return real_.pack_ternary(source);
  }
  void embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) override {
    real_.embed(table, tokens, h);
  }
  void embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) override {
    real_.embed_ternary(table, tokens, h);
  }
  void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                float* y) override {
    real_.rms_norm(x, weight, eps, rows, width, y);
  }
  void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    real_.quantize(x, rows, width, out, bad);
    record(rows, width, *out);
  }
  void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    real_.quantize16(x, rows, width, out, bad);
    record(rows, width, *out);
  }
  void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) override {
    real_.ternary_matmul(x, weight, rows, y);
  }
  void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) override {
    real_.ternary_matmul_f32(x, weight, rows, y);
  }
  void dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) override {
    real_.dense_matmul(x, weight, rows, y);
  }
  void rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim, bool adjacent_pairs,
            const float* cos, const float* sin) override {
    real_.rope(x, rows, heads, head_dim, rope_dim, adjacent_pairs, cos, sin);
  }
  void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                 const float* v, uint8_t* bad) override {
    real_.append_kv(kv, layer, places, k, v, bad);
  }
  void attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places, int64_t num_heads,
                 const float* q, float* out) override {
    real_.attention(kv, layer, places, num_heads, q, out);
  }
  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override {
    real_.gate(kind, g, u, count, out);
  }
  void add(float* x, const float* y, int64_t count) override { real_.add(x, y, count); }

 private:
  void record(int64_t rows, int64_t width, const QuantizedRows& out) {
    TERN_CHECK(rows == 1, "a recorded step has one row");
    RecordedRow row{std::vector<int32_t>(out.q, out.q + width), double{out.act_scale[0]}};
    for (int64_t i = 0; out.planes == 2 && i < width; ++i)
      row.q[static_cast<size_t>(i)] = 256 * out.q[i] + out.q[out.k_padded + i];
    recorded.push_back(std::move(row));
  }

  Backend& real_;
};

}  // namespace tern::test
