// SPDX-License-Identifier: MIT
// Blocks of 256 with two levels of scales: Q4_K (decode only) and Q6_K. The order of rounding is the
// contract: fl() is one f32 rounding. Layouts: FORMATS.md A.3. The Q6_K encoder is ours; its files need not
// equal anyone's, its error does not exceed the bound in dense_k.h, and it uses only operations that every
// IEEE machine rounds alike.
#include "formats/dense_k.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/float16.h"

namespace tern {
namespace {

// Q4_K: f16 d; f16 dmin; u8 s[12]; u8 q[128].
constexpr uint32_t kQ4Min = 2, kQ4Scales = 4, kQ4Codes = 16;
// Q6_K: u8 ql[128]; u8 qh[64]; i8 sc[16]; f16 d.
constexpr uint32_t kQ6High = 128, kQ6Scales = 192, kQ6D = 208;
constexpr uint32_t kSubCols = 16;  // columns of one Q6_K sub-block
constexpr int kMaxSubScale = 127;  // -128 is left unused: both signs reach equally far
constexpr float kLargestCode =
    31.5f;  // codes are -32..31, and 31.5 is the largest |x| / step within half a step

float load_f16(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return f16_to_f32(half);
}

/// Nearest integer of |x| < 2^22, halves to even: adding 1.5 * 2^23 leaves no bits for a fraction.
int nearest(float x) { return std::bit_cast<int>(x + 0x1.8p23f) - std::bit_cast<int>(0x1.8p23f); }

int code_of(float x, float inverse_step) { return std::clamp(nearest(x * inverse_step), -32, 31); }

/// Sum of squared errors of 16 values with the given step, as they will be decoded. Double, so that the
/// squares of small values do not vanish; four lanes, so that the loop becomes vector code.
double squared_error(const float* values, float step) {
  const float inverse = 1.0f / step;  // |step| >= 2^-24: finite
  double lanes[4] = {};
  for (uint32_t i = 0; i < kSubCols; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      const float x = values[i + lane];
      const double error = x - step * static_cast<float>(code_of(x, inverse));
      lanes[lane] += error * error;
    }
  }
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

/// The sub-block scale (an integer times d) of least squared error. Starts at the smallest one that clips
/// nothing, which gives the bound, and tries down to 7/8 of it: clipping the extremes a little often pays for
/// the rest.
int choose_sub_scale(const float* values, float d) {
  float amax = 0.0f, signed_max = 0.0f;
  for (uint32_t i = 0; i < kSubCols; ++i) {
    if (std::fabs(values[i]) > amax) {
      amax = std::fabs(values[i]);
      signed_max = values[i];
    }
  }
  if (amax == 0.0f) return 0;
  const float ratio = amax / (kLargestCode * d);
  int covering = static_cast<int>(ratio);
  covering = std::min(covering + (static_cast<float>(covering) < ratio), kMaxSubScale);
  const int lowest = std::max(1, std::min(covering - 1, covering - covering / 16));
  const int sign = signed_max > 0.0f ? -1 : 1;  // the extreme falls on the longer side, -32

  int best = sign * covering;
  double best_error = squared_error(values, d * static_cast<float>(best));
  for (int size = covering - 1; size >= lowest; --size) {
    const double error = squared_error(values, d * static_cast<float>(sign * size));
    if (error < best_error) {  // strictly: a tie keeps the larger scale on every machine
      best_error = error;
      best = sign * size;
    }
  }
  return best;
}

}  // namespace

/// Sub-block j of 32 has a six-bit scale sc and minimum m; weight = fl(fl(fl(d*sc) * n) - fl(dmin*m)), n the
/// nibble.
void dequantize_q4_k(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  const float dmin = load_f16(block + kQ4Min);
  const uint8_t* s = block + kQ4Scales;
  for (uint32_t j = 0; j < 8; ++j) {
    const uint32_t sc = j < 4 ? s[j] & 63u : (s[j + 4] & 15u) | (s[j - 4] >> 6) << 4;
    const uint32_t m = j < 4 ? s[j + 4] & 63u : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    const float scale = d * static_cast<float>(sc);
    const float minimum = dmin * static_cast<float>(m);
    const uint8_t* q = block + kQ4Codes + 32 * (j / 2);
    const uint32_t shift = 4 * (j % 2);
    for (uint32_t i = 0; i < 32; ++i) {
      out[32 * j + i] = scale * static_cast<float>((q[i] >> shift) & 15) - minimum;
    }
  }
}

/// Sub-block j of 16 has an int8 scale sc; weight = fl(fl(d*sc) * q), q = six bits - 32. Element 128 h + 32 k
/// + l has its low nibble in ql[64 h + 32 (k%2) + l] (high half of the byte for k >= 2) and bits 5..4 in
/// field k of qh[32 h + l].
void dequantize_q6_k(const uint8_t* block, float* out) {
  const float d = load_f16(block + kQ6D);
  for (uint32_t run = 0; run < 8; ++run) {
    const uint32_t h = run / 4, k = run % 4;
    const uint8_t* low = block + 64 * h + 32 * (k % 2);
    const uint8_t* high = block + kQ6High + 32 * h;
    for (uint32_t half = 0; half < 2; ++half) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[kQ6Scales + 2 * run + half]));
      for (uint32_t l = kSubCols * half; l < kSubCols * (half + 1); ++l) {
        const int q = ((low[l] >> 4 * (k / 2)) & 15) | ((high[l] >> 2 * k) & 3) << 4;
        out[32 * run + l] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

bool quantize_q6_k(const float* values, uint8_t* block) {
  float amax = 0.0f;
  for (uint32_t i = 0; i < kKBlockCols; ++i) amax = std::fmax(amax, std::fabs(values[i]));

  // d: rounded up to f16, so that the largest sub-block is covered by a scale of at most 127.
  const float wanted = amax / (kLargestCode * kMaxSubScale);
  uint16_t half = f32_to_f16(wanted);
  if (f16_to_f32(half) < wanted) ++half;
  const float d = f16_to_f32(half);
  if (!std::isfinite(d)) return false;

  std::memset(block, 0, kQ6KBytes);
  std::memcpy(block + kQ6D, &half, sizeof half);
  for (uint32_t j = 0; j < kKBlockCols / kSubCols; ++j) {
    const float* sub = values + kSubCols * j;
    // amax > 0 does not promise d > 0: f32 division may underflow to 0, and then every weight rounds to 0.
    const int sub_scale = d == 0.0f ? 0 : choose_sub_scale(sub, d);
    block[kQ6Scales + j] = static_cast<uint8_t>(static_cast<int8_t>(sub_scale));
    const float inverse = sub_scale == 0 ? 0.0f : 1.0f / (d * static_cast<float>(sub_scale));
    for (uint32_t i = 0; i < kSubCols; ++i) {
      const uint32_t code = static_cast<uint32_t>(code_of(sub[i], inverse) + 32);
      const uint32_t element = kSubCols * j + i, h = element / 128, k = element / 32 % 4, l = element % 32;
      block[64 * h + 32 * (k % 2) + l] |= static_cast<uint8_t>((code & 15) << 4 * (k / 2));
      block[kQ6High + 32 * h + l] |= static_cast<uint8_t>((code >> 4) << 2 * k);
    }
  }
  return true;
}

}  // namespace tern
