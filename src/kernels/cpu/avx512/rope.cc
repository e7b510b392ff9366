// SPDX-License-Identifier: MIT
// Rotary position embedding of one row, in place, for both ways of pairing. Called through KernelTable::rope.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {
namespace {

/// Pairs (x[i], x[i + half]).
TERN_INLINE void rotate_halves(float* x, int64_t half, const float* cosines, const float* sines) {
  for (int64_t i = 0; i < half; i += 16) {
    const __mmask16 lanes = first_lanes(half - i);
    const __m512 c = _mm512_maskz_loadu_ps(lanes, cosines + i), s = _mm512_maskz_loadu_ps(lanes, sines + i);
    const __m512 a = _mm512_maskz_loadu_ps(lanes, x + i), b = _mm512_maskz_loadu_ps(lanes, x + half + i);
    _mm512_mask_storeu_ps(x + i, lanes, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
    _mm512_mask_storeu_ps(x + half + i, lanes, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
  }
}

/// Pairs (x[2i], x[2i + 1]): even lanes subtract and odd lanes add, which is what fmaddsub does.
TERN_INLINE void rotate_adjacent(float* x, int64_t half, const float* cosines, const float* sines) {
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  for (int64_t i = 0; i < half; i += 8) {
    const __mmask16 pairs = first_lanes(min_i64(half - i, 8)), lanes = first_lanes(2 * (half - i));
    const __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, cosines + i));
    const __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, sines + i));
    const __m512 v = _mm512_maskz_loadu_ps(lanes, x + 2 * i);
    const __m512 partner = _mm512_permute_ps(v, 0xb1);
    _mm512_mask_storeu_ps(x + 2 * i, lanes, _mm512_fmaddsub_ps(v, c, _mm512_mul_ps(partner, s)));
  }
}

}  // namespace

void rope(const RopeArgs& args) noexcept {
  const int64_t half = args.rope_dim / 2;
  for (int64_t h = 0; h < args.heads; ++h) {
    float* x = args.x + h * args.head_dim;
    if (args.adjacent_pairs)
      rotate_adjacent(x, half, args.cos, args.sin);
    else
      rotate_halves(x, half, args.cos, args.sin);
  }
}

}  // namespace tern::avx512
