// SPDX-License-Identifier: MIT
// What the files of the AVX-512 + VNNI set share: the names of their ops, and small inline helpers. Included
// by them only. Every helper is static and always inlined, so that no object of this folder leaves a weak
// symbol at any -O.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

#define TERN_INLINE static inline __attribute__((always_inline))
// Before a short loop over registers: g++ else unrolls it too late and keeps the accumulators on the stack.
#define TERN_UNROLL _Pragma("GCC unroll 16")

namespace tern::avx512 {

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

/// The first min(n, 16) lanes; n >= 0.
TERN_INLINE __mmask16 first_lanes(int64_t n) {
  return n >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << n) - 1u);
}

/// The end of sum16: lane[l] += lane[l+8], then 4, 2, 1.
TERN_INLINE float halve16(__m512 v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
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
TERN_INLINE __m512 exp_ps(__m512 x) {
  const __m512 round = _mm512_set1_ps(Exp::kRound), one = _mm512_set1_ps(1.0f);
  const __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(Exp::kLog2E), round);
  const __m512 n = _mm512_sub_ps(shifted, round);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-Exp::kLn2High), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(-Exp::kLn2Low), r);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(Exp::kC7), r, _mm512_set1_ps(Exp::kC6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(Exp::kC5));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(Exp::kC4));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(Exp::kC3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(Exp::kC2));
  p = _mm512_fmadd_ps(p, r, one);
  p = _mm512_fmadd_ps(p, r, one);
  const __m512i exponent =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127)), 23);
  __m512 y = _mm512_mul_ps(p, _mm512_castsi512_ps(exponent));
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(Exp::kHighest), _CMP_GT_OQ),
                         _mm512_set1_ps(__builtin_inff()));
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(Exp::kLowest), _CMP_LT_OQ),
                            _mm512_setzero_ps());
}

}  // namespace tern::avx512
