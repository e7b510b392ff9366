// SPDX-License-Identifier: MIT
// One row of f32 activations to int8, or to 16 bits in two rows of int8, by the largest magnitude (absmax).
#include <algorithm>

#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

namespace {

/// max(1e-5, max|x|), or -1 where a value is not finite.
float largest_magnitude(const float* x, int64_t n) {
  float a = 1e-5f;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return -1.0f;
    a = std::max(a, std::fabs(x[i]));
  }
  return a;
}

}  // namespace

float quantize(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
               int32_t* sum) noexcept {
  std::fill_n(q, n_padded, int8_t{0});
  std::fill_n(block_sums, n_padded / kColumnPad, 0);
  *sum = 0;

  const float a = largest_magnitude(x, n);
  if (a < 0) return -1.0f;
  const float s = 127.0f / a;
  for (int64_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * s), -128.0f, 127.0f));  // ties to even
    block_sums[i / kColumnPad] += q[i];
    *sum += q[i];
  }
  return s;
}

float quantize16(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                 int32_t* sums) noexcept {
  const int64_t blocks = n_padded / kColumnPad;
  std::fill_n(q, 2 * n_padded, int8_t{0});
  std::fill_n(block_sums, 2 * blocks, 0);
  sums[0] = sums[1] = 0;

  const float a = largest_magnitude(x, n);
  if (a < 0) return -1.0f;
  const float s = 32639.0f / a;
  for (int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<int>(std::nearbyint(x[i] * s));  // ties to even
    const int high = (value + 128) >> 8;                            // rounded down, so that low is in int8
    const int parts[2] = {high, value - 256 * high};
    for (int plane = 0; plane < 2; ++plane) {
      q[plane * n_padded + i] = static_cast<int8_t>(parts[plane]);
      block_sums[plane * blocks + i / kColumnPad] += parts[plane];
      sums[plane] += parts[plane];
    }
  }
  return s;
}

}  // namespace tern::scalar
