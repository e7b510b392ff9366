// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, by the largest magnitude (absmax). Called through
// KernelTable::quantize.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  // Magnitudes compare as integers, and every infinity and NaN is above all finite ones: one integer maximum
  // finds both the largest value and whether any is not finite.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i v = _mm512_maskz_loadu_epi32(first_lanes(n - i), x + i);
    largest = _mm512_max_epi32(largest, _mm512_and_si512(v, magnitude));
  }
  const int32_t max_bits = _mm512_reduce_max_epi32(largest);
  const bool finite = max_bits < 0x7f800000;
  float a;
  __builtin_memcpy(&a, &max_bits, sizeof a);
  if (!finite || a < 1e-5f) a = 1e-5f;
  const float s = 127.0f / a;

  // Rows that are not finite become all zero: no lane is loaded. |x*s| <= 127 * (1 + 2^-22) rounds to 127 at
  // most, so the sums may be taken before the narrowing (which would saturate at -128 and 127).
  const int64_t valid = finite ? n : 0;
  const __m512 scale = _mm512_set1_ps(s);
  int32_t total = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    __m512i sums = _mm512_setzero_si512();
    for (int64_t i = b; i < b + kColumnPad; i += 16) {
      const __m512 v = _mm512_maskz_loadu_ps(first_lanes(max_i64(valid - i, 0)), x + i);
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(v, scale));  // to nearest even
      sums = _mm512_add_epi32(sums, rounded);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtsepi32_epi8(rounded));
    }
    const int32_t block = _mm512_reduce_add_epi32(sums);
    block_sums[b / kColumnPad] = block;
    total += block;
  }
  *sum = total;
  return finite ? s : -1.0f;
}

}  // namespace tern::avx512
