// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, by the largest magnitude (absmax).
#include <algorithm>

#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  std::fill_n(q, n_padded, int8_t{0});
  std::fill_n(block_sums, n_padded / kColumnPad, 0);
  *sum = 0;

  float a = 1e-5f;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return -1.0f;
    a = std::max(a, std::fabs(x[i]));
  }
  const float s = 127.0f / a;
  for (int64_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * s), -128.0f, 127.0f));  // ties to even
    block_sums[i / kColumnPad] += q[i];
    *sum += q[i];
  }
  return s;
}

}  // namespace tern::scalar
