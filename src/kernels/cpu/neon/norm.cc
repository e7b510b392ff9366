// SPDX-License-Identifier: MIT
// RMSNorm of one row. The sum of squares is one chain of 16 lanes (the contract's order). Called through
// KernelTable::rms_norm.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) noexcept {
  Lanes16 squares;
  for (int c = 0; c < 4; ++c) squares.v[c] = vdupq_n_f32(0.0f);
  const int64_t full = n & ~int64_t{15};
  for (int64_t i = 0; i < full; i += 16) TERN_UNROLL for (int c = 0; c < 4; ++c) {
      const float32x4_t v = vld1q_f32(x + i + 4 * c);
      squares.v[c] = vfmaq_f32(squares.v[c], v, v);
    }
  for (int c = 0; c < 4; ++c) {
    const int64_t left = n - full - 4 * c;
    const float32x4_t v = load(x + full + 4 * c, left);
    squares.v[c] = fma_first(v, v, squares.v[c], left);
  }

  const float32x2_t mean = vdiv_f32(vdup_n_f32(halve16(squares)), vdup_n_f32(static_cast<float>(n)));
  const float32x2_t v2 = vadd_f32(mean, vdup_n_f32(eps));
  const float32x2_t scale = vadd_f32(vdiv_f32(vdup_n_f32(1.0f), vsqrt_f32(v2)), vsub_f32(v2, v2));
  const float32x4_t r = vdupq_lane_f32(scale, 0);
  for (int64_t i = 0; i < n; i += 4) {
    float32x4_t v = vmulq_f32(load(x + i, n - i), r);
    if (w != nullptr) v = vmulq_f32(v, load(w + i, n - i));
    store(y + i, n - i, v);
  }
}

}  // namespace tern::neon
