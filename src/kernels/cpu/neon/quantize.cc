// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, or to 16 bits in two rows of int8, by the largest magnitude (absmax).
// Called through KernelTable::quantize and quantize16.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {
namespace {

/// max(1e-5, max|x|), or -1 where a value is not finite.
TERN_INLINE float largest_magnitude(const float* x, int64_t n) {
  // Magnitudes compare as integers, and every infinity and NaN is above all finite ones: one integer maximum
  // finds both the largest value and whether any is not finite.
  const int32x4_t magnitude = vdupq_n_s32(0x7fffffff);
  int32x4_t largest[4];
  for (int c = 0; c < 4; ++c) largest[c] = vdupq_n_s32(0);
  for (int64_t i = 0; i < n; i += 16) TERN_UNROLL for (int c = 0; c < 4; ++c) {
      const int32x4_t bits = vreinterpretq_s32_f32(load(x + i + 4 * c, n - i - 4 * c));
      largest[c] = vmaxq_s32(largest[c], vandq_s32(bits, magnitude));
    }
  const int32_t max_bits =
      vmaxvq_s32(vmaxq_s32(vmaxq_s32(largest[0], largest[1]), vmaxq_s32(largest[2], largest[3])));
  if (max_bits >= 0x7f800000) return -1.0f;
  float a;
  __builtin_memcpy(&a, &max_bits, sizeof a);
  return a < 1e-5f ? 1e-5f : a;
}

/// RNE(x * scale) of 16 values; from `n` on they count as 0 and are not read.
TERN_INLINE void round16(const float* x, int64_t n, float32x4_t scale, int32x4_t (&v)[4]) {
  TERN_UNROLL for (int c = 0; c < 4; ++c) v[c] = vcvtnq_s32_f32(vmulq_f32(load(x + 4 * c, n - 4 * c), scale));
}

/// Narrows 16 values with saturation at -128 and 127 and stores them; adds them to the 8 lanes of `sums`,
/// which a block of 64 values cannot overflow.
TERN_INLINE int16x8_t store_int8(const int32x4_t (&v)[4], int8_t* q, int16x8_t sums) {
  const int16x8_t low = vqmovn_high_s32(vqmovn_s32(v[0]), v[1]);
  const int16x8_t high = vqmovn_high_s32(vqmovn_s32(v[2]), v[3]);
  const int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(low), high);
  vst1q_s8(q, bytes);
  return vpadalq_s8(sums, bytes);
}

}  // namespace

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  const float a = largest_magnitude(x, n);
  const bool finite = a > 0;
  const float s = 127.0f / a;

  // Rows that are not finite become all zero: nothing of them is loaded. |x*s| <= 127 * (1 + 2^-22) rounds to
  // 127 at most.
  const int64_t valid = finite ? n : 0;
  const float32x4_t scale = vdupq_n_f32(s);
  *sum = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    int16x8_t sums = vdupq_n_s16(0);
    for (int64_t i = b; i < b + kColumnPad; i += 16) {
      int32x4_t v[4];
      round16(x + i, valid - i, scale, v);
      sums = store_int8(v, q + i, sums);
    }
    *sum += block_sums[b / kColumnPad] = vaddlvq_s16(sums);
  }
  return finite ? s : -1.0f;
}

float quantize16(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                 int32_t* sums) noexcept {
  const float a = largest_magnitude(x, n);
  const bool finite = a > 0;
  const float s = 32639.0f / a;
  const int64_t valid = finite ? n : 0, blocks = n_padded / kColumnPad;
  const float32x4_t scale = vdupq_n_f32(s);
  sums[0] = sums[1] = 0;
  for (int64_t b = 0; b < n_padded; b += kColumnPad) {
    int16x8_t high_sums = vdupq_n_s16(0), low_sums = high_sums;
    for (int64_t i = b; i < b + kColumnPad; i += 16) {
      int32x4_t low[4], high[4];
      round16(x + i, valid - i, scale, low);
      TERN_UNROLL for (int c = 0; c < 4; ++c) {
        high[c] = vrshrq_n_s32(low[c], 8);  // floor((v + 128) / 256)
        low[c] = vsubq_s32(low[c], vshlq_n_s32(high[c], 8));
      }
      high_sums = store_int8(high, q + i, high_sums);
      low_sums = store_int8(low, q + n_padded + i, low_sums);
    }
    sums[0] += block_sums[b / kColumnPad] = vaddlvq_s16(high_sums);
    sums[1] += block_sums[blocks + b / kColumnPad] = vaddlvq_s16(low_sums);
  }
  return finite ? s : -1.0f;
}

}  // namespace tern::neon
