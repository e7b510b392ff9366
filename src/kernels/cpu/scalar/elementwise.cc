// SPDX-License-Identifier: MIT
// Ops on single values: residual addition and the gates of the feed-forward network.
#include "core/math.h"
#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

void add(float* x, const float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] + y[i];
}

void gate_relu2(const float* g, const float* u, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const float r = g[i] > 0.0f ? g[i] : 0.0f;
    out[i] = r * r * u[i];
  }
}

void gate_silu(const float* g, const float* u, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; ++i) out[i] = g[i] / (1.0f + exp_f32(-g[i])) * u[i];
}

}  // namespace tern::scalar
