// SPDX-License-Identifier: MIT
// RMSNorm of one row.
#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) noexcept {
  const auto value = [x](int64_t i) { return x[i]; };
  const float mean = sum16(n, value, value) / static_cast<float>(n);
  const float v = mean + eps;
  const float r = 1.0f / std::sqrt(v) + (v - v);  // NaN where the squares overflowed: seen, not silently 0
  for (int64_t i = 0; i < n; ++i) y[i] = w == nullptr ? x[i] * r : x[i] * r * w[i];
}

}  // namespace tern::scalar
