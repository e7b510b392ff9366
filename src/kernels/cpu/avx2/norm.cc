// SPDX-License-Identifier: MIT
// RMSNorm of one row. The sum of squares is one chain of 16 lanes (the contract's order). Called through
// KernelTable::rms_norm.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) noexcept {
  Lanes16 squares = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  const int64_t full = n & ~int64_t{15}, tail = n - full;
  for (int64_t i = 0; i < full; i += 16) {
    const __m256 low = _mm256_loadu_ps(x + i), high = _mm256_loadu_ps(x + i + 8);
    squares = {_mm256_fmadd_ps(low, low, squares.low), _mm256_fmadd_ps(high, high, squares.high)};
  }
  const __m256 low = load(x + full, tail), high = load(x + full + 8, tail - 8);
  squares = {fma_first(low, low, squares.low, tail), fma_first(high, high, squares.high, tail - 8)};

  const __m128 mean = _mm_div_ss(_mm_set_ss(halve16(squares)), _mm_set_ss(static_cast<float>(n)));
  const __m128 v2 = _mm_add_ss(mean, _mm_set_ss(eps));
  const __m128 scale = _mm_add_ss(_mm_div_ss(_mm_set_ss(1.0f), _mm_sqrt_ss(v2)), _mm_sub_ss(v2, v2));
  const __m256 r = _mm256_broadcastss_ps(scale);
  for (int64_t i = 0; i < n; i += 8) {
    __m256 v = _mm256_mul_ps(load(x + i, n - i), r);
    if (w != nullptr) v = _mm256_mul_ps(v, load(w + i, n - i));
    store(y + i, n - i, v);
  }
}

}  // namespace tern::avx2
