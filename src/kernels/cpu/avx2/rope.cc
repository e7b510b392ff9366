// SPDX-License-Identifier: MIT
// Rotary position embedding of one row, in place, for both ways of pairing. Called through KernelTable::rope.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

/// Pairs (x[i], x[i + half]).
TERN_INLINE void rotate_halves(float* x, int64_t half, const float* cosines, const float* sines) {
  for (int64_t i = 0; i < half; i += 8) {
    const int64_t n = half - i;
    const __m256 c = load(cosines + i, n), s = load(sines + i, n);
    const __m256 a = load(x + i, n), b = load(x + half + i, n);
    store(x + i, n, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    store(x + half + i, n, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
  }
}

/// 4 table entries, each twice; only the first n are read.
TERN_INLINE __m256 twice(const float* at, int64_t n) {
  const __m128 v = n >= 4 ? _mm_loadu_ps(at) : _mm_maskload_ps(at, _mm256_castsi256_si128(first_lanes(n)));
  return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(v), _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

/// Pairs (x[2i], x[2i + 1]): even lanes subtract and odd lanes add, which is what fmaddsub does.
TERN_INLINE void rotate_adjacent(float* x, int64_t half, const float* cosines, const float* sines) {
  for (int64_t i = 0; i < half; i += 4) {
    const __m256 v = load(x + 2 * i, 2 * (half - i));
    const __m256 product = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), twice(sines + i, half - i));
    store(x + 2 * i, 2 * (half - i), _mm256_fmaddsub_ps(v, twice(cosines + i, half - i), product));
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

}  // namespace tern::avx2
