// SPDX-License-Identifier: MIT
// Ops on single values: residual addition and the gates of the feed-forward network. Called through
// KernelTable.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {

void add(float* x, const float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    const __m512 sum =
        _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, x + i), _mm512_maskz_loadu_ps(lanes, y + i));
    _mm512_mask_storeu_ps(x + i, lanes, sum);
  }
}

void gate_relu2(const float* g, const float* u, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    const __m512 v = _mm512_maskz_loadu_ps(lanes, g + i);
    // Not max(): -0 and NaN must become +0.
    const __m512 r = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), v);
    _mm512_mask_storeu_ps(out + i, lanes,
                          _mm512_mul_ps(_mm512_mul_ps(r, r), _mm512_maskz_loadu_ps(lanes, u + i)));
  }
}

void gate_silu(const float* g, const float* u, int64_t n, float* out) noexcept {
  const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    const __m512 v = _mm512_maskz_loadu_ps(lanes, g + i);
    const __m512 silu = _mm512_div_ps(v, _mm512_add_ps(one, exp_ps(_mm512_xor_ps(v, sign))));
    _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(lanes, u + i)));
  }
}

}  // namespace tern::avx512
