// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, or to 16 bits in two rows of int8, by the largest magnitude (absmax).
// Called through KernelTable::quantize and quantize16.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {

namespace {

/// max(1e-5, max|x|), or -1 where a value is not finite.
TERN_INLINE float largest_magnitude(const float* x, int64_t n) {
  // Magnitudes compare as integers, and every infinity and NaN is above all finite ones: one integer maximum
  // finds both the largest value and whether any is not finite.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i v = _mm512_maskz_loadu_epi32(first_lanes(n - i), x + i);
    largest = _mm512_max_epi32(largest, _mm512_and_si512(v, magnitude));
  }
  const int32_t max_bits = _mm512_reduce_max_epi32(largest);
  if (max_bits >= 0x7f800000) return -1.0f;
  float a;
  __builtin_memcpy(&a, &max_bits, sizeof a);
  return a < 1e-5f ? 1e-5f : a;
}

/// RNE(x * scale) of columns i.. i+15; zero from column `valid` on, which are not read.
TERN_INLINE __m512i rounded(const float* x, int64_t i, int64_t valid, __m512 scale) {
  const __m512 v = _mm512_maskz_loadu_ps(first_lanes(max_i64(valid - i, 0)), x + i);
  return _mm512_cvtps_epi32(_mm512_mul_ps(v, scale));
}

TERN_INLINE void store_int8(int8_t* at, __m512i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtsepi32_epi8(v));
}

}  // namespace

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  const float a = largest_magnitude(x, n);
  const bool finite = a > 0;
  const float s = 127.0f / a;

  // Rows that are not finite become all zero: no lane is loaded. |x*s| <= 127 * (1 + 2^-22) rounds to 127 at
  // most, so the sums may be taken before the narrowing (which would saturate at -128 and 127).
  const int64_t valid = finite ? n : 0;
  const __m512 scale = _mm512_set1_ps(s);
  int32_t total = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    __m512i sums = _mm512_setzero_si512();
    for (int64_t i = b; i < b + kColumnPad; i += 16) {
      const __m512i v = rounded(x, i, valid, scale);
      sums = _mm512_add_epi32(sums, v);
      store_int8(q + i, v);
    }
    const int32_t block = _mm512_reduce_add_epi32(sums);
    block_sums[b / kColumnPad] = block;
    total += block;
  }
  *sum = total;
  return finite ? s : -1.0f;
}

float quantize16(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                 int32_t* sums) noexcept {
  const float a = largest_magnitude(x, n);
  const bool finite = a > 0;
  const float s = 32639.0f / a;
  const int64_t valid = finite ? n : 0, blocks = n_padded / kColumnPad;
  const __m512 scale = _mm512_set1_ps(s);
  sums[0] = sums[1] = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    __m512i high_sums = _mm512_setzero_si512(), low_sums = high_sums;
    for (int64_t i = b; i < b + kColumnPad; i += 16) {
      const __m512i v = rounded(x, i, valid, scale);
      const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8);
      const __m512i low = _mm512_sub_epi32(v, _mm512_slli_epi32(high, 8));
      high_sums = _mm512_add_epi32(high_sums, high);
      low_sums = _mm512_add_epi32(low_sums, low);
      store_int8(q + i, high);
      store_int8(q + n_padded + i, low);
    }
    sums[0] += block_sums[b / kColumnPad] = _mm512_reduce_add_epi32(high_sums);
    sums[1] += block_sums[blocks + b / kColumnPad] = _mm512_reduce_add_epi32(low_sums);
  }
  return finite ? s : -1.0f;
}

}  // namespace tern::avx512
