// SPDX-License-Identifier: MIT
// Rotary position embedding of one row, in place, for both ways of pairing. Called through KernelTable::rope.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {
namespace {

struct Pairs {
  float32x4_t a, b;
};

TERN_INLINE Pairs rotate(Pairs x, float32x4_t c, float32x4_t s) {
  return {vfmaq_f32(vnegq_f32(vmulq_f32(x.b, s)), x.a, c), vfmaq_f32(vmulq_f32(x.a, s), x.b, c)};
}

/// Pairs (x[i], x[i + half]).
TERN_INLINE void rotate_halves(float* x, int64_t half, const float* cosines, const float* sines) {
  for (int64_t i = 0; i < half; i += 4) {
    const int64_t n = half - i;
    const Pairs turned =
        rotate({load(x + i, n), load(x + half + i, n)}, load(cosines + i, n), load(sines + i, n));
    store(x + i, n, turned.a);
    store(x + half + i, n, turned.b);
  }
}

/// Pairs (x[2i], x[2i + 1]): loads and stores that take every second value.
TERN_INLINE void rotate_adjacent(float* x, int64_t half, const float* cosines, const float* sines) {
  int64_t i = 0;
  for (; i + 4 <= half; i += 4) {
    const float32x4x2_t v = vld2q_f32(x + 2 * i);
    const Pairs turned = rotate({v.val[0], v.val[1]}, vld1q_f32(cosines + i), vld1q_f32(sines + i));
    const float32x4x2_t both = {{turned.a, turned.b}};
    vst2q_f32(x + 2 * i, both);
  }
  for (; i < half; ++i) {
    const Pairs turned = rotate({vdupq_n_f32(x[2 * i]), vdupq_n_f32(x[2 * i + 1])}, vdupq_n_f32(cosines[i]),
                                vdupq_n_f32(sines[i]));
    vst1q_lane_f32(x + 2 * i, turned.a, 0);
    vst1q_lane_f32(x + 2 * i + 1, turned.b, 0);
  }
}

}  // namespace

void rope(const RopeArgs& args) noexcept {
  const int64_t half = args.rope_dim / 2;
  for (int64_t h = 0; h < args.heads; ++h) {
    float* x = args.x + h * args.head_dim;
    if (args.adjacent_pairs)
      rotate_adjacent(x, half, args.cos, args.sin);
    else
      rotate_halves(x, half, args.cos, args.sin);
  }
}

}  // namespace tern::neon
