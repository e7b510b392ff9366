// SPDX-License-Identifier: MIT
// What the files of the three NEON sets share: the names of their ops, and small inline helpers. Included by
// them only. Every helper is static and always inlined, so that no object of this folder leaves a weak symbol
// at any -O. All but ternary_dotprod.cc and ternary_i8mm.cc are compiled for plain ARMv8-A, which has fused
// multiply-add and the conversions to and from half.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

#define TERN_INLINE static inline __attribute__((always_inline))
// Before a short loop over registers: g++ else unrolls it too late and keeps the accumulators on the stack.
#define TERN_UNROLL _Pragma("GCC unroll 16")

namespace tern::neon {

void ternary(const TernaryArgs& args) noexcept;          // vmlal_s8
void ternary_dotprod(const TernaryArgs& args) noexcept;  // sdot
void ternary_i8mm(const TernaryArgs& args) noexcept;     // smmla; sdot for few tokens
void ternary16(const TernaryArgs& args) noexcept;
void ternary16_dotprod(const TernaryArgs& args) noexcept;
void ternary16_i8mm(const TernaryArgs& args) noexcept;
void dense_f32(const DenseArgs& args) noexcept;
void dense_f16(const DenseArgs& args) noexcept;
void dense_bf16(const DenseArgs& args) noexcept;
void dense_q8_0(const DenseArgs& args) noexcept;
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

TERN_INLINE int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
TERN_INLINE int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/// All ones in lane i for i < n; any n below 2^31.
TERN_INLINE uint32x4_t first_lanes(int64_t n) {
  constexpr int32_t kIndex[4] = {0, 1, 2, 3};
  return vcltq_s32(vld1q_s32(kIndex), vdupq_n_s32(static_cast<int32_t>(n)));
}

/// The first min(n, 4) floats; the others are +0 and are not read (not written by store). n may be negative.
TERN_INLINE float32x4_t load(const float* at, int64_t n) {
  if (n >= 4) return vld1q_f32(at);
  float32x4_t v = vdupq_n_f32(0.0f);
  if (n > 0) v = vld1q_lane_f32(at, v, 0);
  if (n > 1) v = vld1q_lane_f32(at + 1, v, 1);
  if (n > 2) v = vld1q_lane_f32(at + 2, v, 2);
  return v;
}
TERN_INLINE void store(float* at, int64_t n, float32x4_t v) {
  if (n >= 4) return vst1q_f32(at, v);
  if (n > 0) vst1q_lane_f32(at, v, 0);
  if (n > 1) vst1q_lane_f32(at + 1, v, 1);
  if (n > 2) vst1q_lane_f32(at + 2, v, 2);
}

/// The 16 lanes of sum16: lane l is element l % 4 of v[l / 4].
struct Lanes16 {
  float32x4_t v[4];
};

/// The end of sum16: lane[l] += lane[l+8], then 4, 2, 1.
TERN_INLINE float halve16(const Lanes16& lanes) {
  const float32x4_t four = vaddq_f32(vaddq_f32(lanes.v[0], lanes.v[2]), vaddq_f32(lanes.v[1], lanes.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(vpadd_f32(two, two), 0);
}

/// fma(a, b, c) in the first n lanes; the others keep the bits of c.
TERN_INLINE float32x4_t fma_first(float32x4_t a, float32x4_t b, float32x4_t c, int64_t n) {
  return vbslq_f32(first_lanes(n), vfmaq_f32(c, a, b), c);
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
TERN_INLINE float32x4_t exp_ps(float32x4_t x) {
  const float32x4_t round = vdupq_n_f32(Exp::kRound), one = vdupq_n_f32(1.0f);
  const float32x4_t shifted = vfmaq_f32(round, x, vdupq_n_f32(Exp::kLog2E));
  const float32x4_t n = vsubq_f32(shifted, round);
  float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-Exp::kLn2High));
  r = vfmaq_f32(r, n, vdupq_n_f32(-Exp::kLn2Low));
  float32x4_t p = vfmaq_f32(vdupq_n_f32(Exp::kC6), vdupq_n_f32(Exp::kC7), r);
  p = vfmaq_f32(vdupq_n_f32(Exp::kC5), p, r);
  p = vfmaq_f32(vdupq_n_f32(Exp::kC4), p, r);
  p = vfmaq_f32(vdupq_n_f32(Exp::kC3), p, r);
  p = vfmaq_f32(vdupq_n_f32(Exp::kC2), p, r);
  p = vfmaq_f32(one, p, r);
  p = vfmaq_f32(one, p, r);
  const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vreinterpretq_s32_f32(shifted), vdupq_n_s32(127)), 23);
  float32x4_t y = vmulq_f32(p, vreinterpretq_f32_s32(exponent));
  y = vbslq_f32(vceqq_f32(x, x), y, x);  // NaN
  y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(Exp::kHighest)), vdupq_n_f32(__builtin_inff()), y);
  return vbslq_f32(vcltq_f32(x, vdupq_n_f32(Exp::kLowest)), vdupq_n_f32(0.0f), y);
}

}  // namespace tern::neon
