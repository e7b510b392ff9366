// SPDX-License-Identifier: MIT
// The scalar kernels, one function per op: the specification that kernel_table.h states in words. Written to
// be read, not to be fast; std::fma is the only "instruction". Called through the table (table.cc) and by
// nobody else.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace tern::scalar {

/// The end of sum16: sixteen lanes to one number, halving.
inline float halve16(float* lane) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

/// sum16 of a(i) * b(i), i = 0..n-1.
template <class A, class B>
float sum16(int64_t n, A a, B b) {
  float lane[16] = {};
  for (int64_t i = 0; i < n; ++i) lane[i % 16] = std::fma(a(i), b(i), lane[i % 16]);
  return halve16(lane);
}

void ternary(const TernaryArgs& args) noexcept;
void ternary16(const TernaryArgs& args) noexcept;
void dense_f32(const DenseArgs& args) noexcept;
void dense_any(const DenseArgs& args) noexcept;
void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) noexcept;
float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept;
float quantize16(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                 int32_t* sums) noexcept;
void add(float* x, const float* y, int64_t n) noexcept;
void gate_relu2(const float* g, const float* u, int64_t n, float* out) noexcept;
void gate_silu(const float* g, const float* u, int64_t n, float* out) noexcept;
void rope(const RopeArgs& args) noexcept;
void kv_append_f16(const KvAppendArgs& args) noexcept;
void kv_append_f32(const KvAppendArgs& args) noexcept;
void attention_f16(const AttentionArgs& args) noexcept;
void attention_f32(const AttentionArgs& args) noexcept;

}  // namespace tern::scalar
