// SPDX-License-Identifier: MIT
// Ops on single values: residual addition and the gates of the feed-forward network. Called through
// KernelTable.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {

void add(float* x, const float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; i += 4) store(x + i, n - i, vaddq_f32(load(x + i, n - i), load(y + i, n - i)));
}

void gate_relu2(const float* g, const float* u, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; i += 4) {
    const float32x4_t v = load(g + i, n - i);
    // Not max(): -0 and NaN must become +0.
    const float32x4_t r = vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(v), vreinterpretq_u32_f32(v)));
    store(out + i, n - i, vmulq_f32(vmulq_f32(r, r), load(u + i, n - i)));
  }
}

void gate_silu(const float* g, const float* u, int64_t n, float* out) noexcept {
  const float32x4_t one = vdupq_n_f32(1.0f);
  for (int64_t i = 0; i < n; i += 4) {
    const float32x4_t v = load(g + i, n - i);
    const float32x4_t silu = vdivq_f32(v, vaddq_f32(one, exp_ps(vnegq_f32(v))));
    store(out + i, n - i, vmulq_f32(silu, load(u + i, n - i)));
  }
}

}  // namespace tern::neon
