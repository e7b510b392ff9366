// SPDX-License-Identifier: MIT
// RMSNorm of one row. The sum of squares is one chain of 16 lanes (the contract's order). Called through
// KernelTable::rms_norm.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) noexcept {
  const int64_t full = n & ~int64_t{15};
  const __mmask16 tail = first_lanes(n - full);
  __m512 squares = _mm512_setzero_ps();
  for (int64_t i = 0; i < full; i += 16) {
    const __m512 v = _mm512_loadu_ps(x + i);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const __m512 last = _mm512_maskz_loadu_ps(tail, x + full);
  squares = _mm512_mask3_fmadd_ps(last, last, squares, tail);

  const __m128 mean = _mm_div_ss(_mm_set_ss(halve16(squares)), _mm_set_ss(static_cast<float>(n)));
  const __m128 v2 = _mm_add_ss(mean, _mm_set_ss(eps));
  const __m128 scale = _mm_add_ss(_mm_div_ss(_mm_set_ss(1.0f), _mm_sqrt_ss(v2)), _mm_sub_ss(v2, v2));
  const __m512 r = _mm512_broadcastss_ps(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), r);
    if (w != nullptr) v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, w + i));
    _mm512_mask_storeu_ps(y + i, lanes, v);
  }
}

}  // namespace tern::avx512
