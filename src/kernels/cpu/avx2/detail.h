// SPDX-License-Identifier: MIT
// What the files of the AVX2 + FMA + F16C set share: the names of their ops, and small inline helpers.
// Included by them only. Every helper is static and always inlined, so that no object of this folder leaves a
// weak symbol at any -O.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

#define TERN_INLINE static inline __attribute__((always_inline))
// Before a short loop over registers: g++ else unrolls it too late and keeps the accumulators on the stack.
#define TERN_UNROLL _Pragma("GCC unroll 16")

namespace tern::avx2 {

void ternary(const TernaryArgs& args) noexcept;
void ternary16(const TernaryArgs& args) noexcept;
void dense_f32(const DenseArgs& args) noexcept;
void dense_f16(const DenseArgs& args) noexcept;
void dense_bf16(const DenseArgs& args) noexcept;
void dense_q8_0(const DenseArgs& args) noexcept;
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

TERN_INLINE int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
TERN_INLINE int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/// All ones in lane i for i < n; any n below 2^31.
TERN_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// The first min(n, 8) floats; the others are +0 and are not read (not written by store). n may be negative.
TERN_INLINE __m256 load(const float* at, int64_t n) {
  return n >= 8 ? _mm256_loadu_ps(at) : _mm256_maskload_ps(at, first_lanes(n));
}
TERN_INLINE void store(float* at, int64_t n, __m256 v) {
  if (n >= 8)
    _mm256_storeu_ps(at, v);
  else
    _mm256_maskstore_ps(at, first_lanes(n), v);
}

/// The 16 lanes of sum16: 0..7 and 8..15.
struct Lanes16 {
  __m256 low, high;
};

/// The end of sum16: lane[l] += lane[l+8], then 4, 2, 1.
TERN_INLINE float halve16(Lanes16 v) {
  const __m256 eight = _mm256_add_ps(v.low, v.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

/// fma(a, b, c) in the first n lanes; the others keep the bits of c.
TERN_INLINE __m256 fma_first(__m256 a, __m256 b, __m256 c, int64_t n) {
  return _mm256_blendv_ps(c, _mm256_fmadd_ps(a, b, c), _mm256_castsi256_ps(first_lanes(n)));
}

// The values of ExpConstants in core/math.h, which this folder may not include; tests/kernels holds them
// together.
struct Exp {
  static constexpr float kLowest = -87.0f, kHighest = 88.0f;
  static constexpr float kLog2E = 0x1.715476p+0f, kRound = 12582912.0f;
  static constexpr float kLn2High = 0x1.62e400p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kC7 = 1.0f / 5040, kC6 = 1.0f / 720, kC5 = 1.0f / 120, kC4 = 1.0f / 24,
                         kC3 = 1.0f / 6, kC2 = 0.5f;
};

/// exp_f32 in every lane, operation by operation; the three early returns become selections in reverse order.
TERN_INLINE __m256 exp_ps(__m256 x) {
  const __m256 round = _mm256_set1_ps(Exp::kRound), one = _mm256_set1_ps(1.0f);
  const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(Exp::kLog2E), round);
  const __m256 n = _mm256_sub_ps(shifted, round);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-Exp::kLn2High), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-Exp::kLn2Low), r);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(Exp::kC7), r, _mm256_set1_ps(Exp::kC6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(Exp::kC5));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(Exp::kC4));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(Exp::kC3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(Exp::kC2));
  p = _mm256_fmadd_ps(p, r, one);
  p = _mm256_fmadd_ps(p, r, one);
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127)), 23);
  __m256 y = _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
  y = _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  y = _mm256_blendv_ps(y, _mm256_set1_ps(__builtin_inff()),
                       _mm256_cmp_ps(x, _mm256_set1_ps(Exp::kHighest), _CMP_GT_OQ));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(Exp::kLowest), _CMP_LT_OQ), y);
}

}  // namespace tern::avx2
