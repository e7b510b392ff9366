// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, or to 16 bits in two rows of int8, by the largest magnitude (absmax).
// Called through KernelTable::quantize and quantize16.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

TERN_INLINE int32_t reduce_max(__m256i v) {
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

TERN_INLINE int32_t reduce_add(__m256i v) {
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/// max(1e-5, max|x|), or -1 where a value is not finite.
TERN_INLINE float largest_magnitude(const float* x, int64_t n) {
  // Magnitudes compare as integers, and every infinity and NaN is above all finite ones: one integer maximum
  // finds both the largest value and whether any is not finite.
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  for (int64_t i = 0; i < n; i += 8)
    largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(load(x + i, n - i)), magnitude));
  const int32_t max_bits = reduce_max(largest);
  if (max_bits >= 0x7f800000) return -1.0f;
  float a;
  __builtin_memcpy(&a, &max_bits, sizeof a);
  return a < 1e-5f ? 1e-5f : a;
}

/// RNE(x * scale) of 32 values; from `n` on they count as 0 and are not read.
TERN_INLINE void round32(const float* x, int64_t n, __m256 scale, __m256i (&v)[4]) {
  for (int i = 0; i < 4; ++i) v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(load(x + 8 * i, n - 8 * i), scale));
}

/// Narrows 32 values with saturation at -128 and 127 and stores them; returns their sums in 8 lanes.
TERN_INLINE __m256i store_int8(const __m256i (&v)[4], int8_t* q) {
  const __m256i words[2] = {_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3])};
  // Packing works in 128-bit halves: dwords come out as 0 2 4 6 1 3 5 7 of the wanted order.
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words[0], words[1]),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

}  // namespace

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  const float a = largest_magnitude(x, n);
  const bool finite = a > 0;
  const float s = 127.0f / a;

  // Rows that are not finite become all zero: nothing of them is loaded. |x*s| <= 127 * (1 + 2^-22) fits
  // easily.
  const int64_t valid = finite ? n : 0;
  const __m256 scale = _mm256_set1_ps(s);
  int32_t total = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    __m256i sums = _mm256_setzero_si256();
    for (int64_t i = b; i < b + kColumnPad; i += 32) {
      __m256i v[4];
      round32(x + i, valid - i, scale, v);
      sums = _mm256_add_epi32(sums, store_int8(v, q + i));
    }
    const int32_t block = reduce_add(sums);
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
  const __m256 scale = _mm256_set1_ps(s);
  sums[0] = sums[1] = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    __m256i high_sums = _mm256_setzero_si256(), low_sums = high_sums;
    for (int64_t i = b; i < b + kColumnPad; i += 32) {
      __m256i v[4], high[4];
      round32(x + i, valid - i, scale, v);
      for (int part = 0; part < 4; ++part) {
        high[part] = _mm256_srai_epi32(_mm256_add_epi32(v[part], _mm256_set1_epi32(128)), 8);
        v[part] = _mm256_sub_epi32(v[part], _mm256_slli_epi32(high[part], 8));
      }
      high_sums = _mm256_add_epi32(high_sums, store_int8(high, q + i));
      low_sums = _mm256_add_epi32(low_sums, store_int8(v, q + n_padded + i));
    }
    sums[0] += block_sums[b / kColumnPad] = reduce_add(high_sums);
    sums[1] += block_sums[blocks + b / kColumnPad] = reduce_add(low_sums);
  }
  return finite ? s : -1.0f;
}

}  // namespace tern::avx2
