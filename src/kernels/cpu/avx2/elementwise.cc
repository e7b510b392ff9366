// SPDX-License-Identifier: MIT
// Ops on single values: residual addition and the gates of the feed-forward network. Called through
// KernelTable.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {

void add(float* x, const float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; i += 8)
    store(x + i, n - i, _mm256_add_ps(load(x + i, n - i), load(y + i, n - i)));
}

void gate_relu2(const float* g, const float* u, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 v = load(g + i, n - i);
    // Not max(): -0 and NaN must become +0.
    const __m256 r = _mm256_and_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ), v);
    store(out + i, n - i, _mm256_mul_ps(_mm256_mul_ps(r, r), load(u + i, n - i)));
  }
}

void gate_silu(const float* g, const float* u, int64_t n, float* out) noexcept {
  const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 v = load(g + i, n - i);
    const __m256 silu = _mm256_div_ps(v, _mm256_add_ps(one, exp_ps(_mm256_xor_ps(v, sign))));
    store(out + i, n - i, _mm256_mul_ps(silu, load(u + i, n - i)));
  }
}

}  // namespace tern::avx2
