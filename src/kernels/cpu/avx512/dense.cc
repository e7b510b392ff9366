// SPDX-License-Identifier: MIT
// Dense weights (head, layers kept in floating point) times f32 activations. The 16 strided lanes of sum16
// are the lanes of one register; rows and tokens are blocked around them. Called through
// KernelTable::dense_*.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {
namespace {

constexpr int64_t kRows = 4,
                  kTokens = 6;  // 24 accumulators + 4 weight registers + 1 activation of 32 registers

// How 16 consecutive weights of a row become f32. `lanes` is all ones but in the tail; other lanes are not
// touched in memory. Rows may have any alignment.
struct F32 {
  static constexpr int64_t kBytes16 = 64;
  TERN_INLINE __m512 load(const std::byte* row, int64_t i, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, row + i * 4);
  }
};
struct F16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE __m512 load(const std::byte* row, int64_t i, __mmask16 lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, row + i * 2));
  }
};
struct Bf16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE __m512 load(const std::byte* row, int64_t i, __mmask16 lanes) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, row + i * 2));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
};
// Blocks of an f16 scale and 32 int8. The product is exact: 11 + 8 significant bits fit into 24.
struct Q8_0 {
  static constexpr int64_t kBytes16 = 17;
  TERN_INLINE __m512 load(const std::byte* row, int64_t i, __mmask16 lanes) {
    const std::byte* block = row + i / 32 * 34;
    int16_t scale;
    __builtin_memcpy(&scale, block, sizeof scale);
    const __m512 q =
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, block + 2 + i % 32)));
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_set1_epi16(scale)), q);
  }
};

/// The lanes of R rows x T tokens over the first `cols` columns, a multiple of 16. Accumulates in an array of
/// its own: g++ keeps those of a function that also uses them elsewhere on the stack.
template <class Weight, int R, int T>
TERN_INLINE void dot(const DenseArgs& a, const std::byte* w, const float* x, int64_t cols,
                     __m512 (&lanes)[R][T]) {
  __m512 acc[R][T];
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t) acc[r][t] =
      _mm512_setzero_ps();
  for (int64_t i = 0; i < cols; i += 16) {
    __m512 weight[R];
    TERN_UNROLL for (int r = 0; r < R; ++r) {
      // Ahead by a whole block of rows: further along the same row would end in the neighbour's, read
      // already.
      const std::byte* row = w + r * a.row_bytes;
      weight[r] = Weight::load(row, i, 0xffff);
      _mm_prefetch(reinterpret_cast<const char*>(row + i / 16 * Weight::kBytes16 + R * a.row_bytes),
                   _MM_HINT_T0);
    }
    TERN_UNROLL for (int t = 0; t < T; ++t) {
      const __m512 activation = _mm512_loadu_ps(x + t * a.x_stride + i);
      TERN_UNROLL for (int r = 0; r < R; ++r) acc[r][t] = _mm512_fmadd_ps(weight[r], activation, acc[r][t]);
    }
  }
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t) lanes[r][t] = acc[r][t];
}

/// R rows x T tokens.
template <class Weight, int R, int T>
void block(const DenseArgs& a, int64_t row, int64_t token) noexcept {
  const std::byte* w = a.weights + row * a.row_bytes;
  const float* x = a.x + token * a.x_stride;
  const int64_t full = a.cols & ~int64_t{15};
  __m512 lanes[R][T];
  dot<Weight, R, T>(a, w, x, full, lanes);
  if (full < a.cols) {  // lanes without a term keep their bits: a masked fma, not an fma of zeros
    const __mmask16 tail = first_lanes(a.cols - full);
    for (int t = 0; t < T; ++t) {
      const __m512 activation = _mm512_maskz_loadu_ps(tail, x + t * a.x_stride + full);
      for (int r = 0; r < R; ++r)
        lanes[r][t] = _mm512_mask3_fmadd_ps(Weight::load(w + r * a.row_bytes, full, tail), activation,
                                            lanes[r][t], tail);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int t = 0; t < T; ++t) a.y[(token + t) * a.y_stride + row + r] = halve16(lanes[r][t]);
}

using BlockFn = void (*)(const DenseArgs&, int64_t row, int64_t token) noexcept;

/// All tokens for R rows, cut into tiles of nearly equal height.
template <class Weight, int R>
void rows(const DenseArgs& a, int64_t row) noexcept {
  static constexpr BlockFn kBlocks[kTokens] = {block<Weight, R, 1>, block<Weight, R, 2>, block<Weight, R, 3>,
                                               block<Weight, R, 4>, block<Weight, R, 5>, block<Weight, R, 6>};
  const int64_t count = (a.tokens + kTokens - 1) / kTokens;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = a.tokens * i / count, last = a.tokens * (i + 1) / count;
    kBlocks[last - first - 1](a, row, first);
  }
}

template <class Weight>
void dense(const DenseArgs& a) noexcept {
  int64_t row = a.row_begin;
  for (; row + kRows <= a.row_end; row += kRows) rows<Weight, kRows>(a, row);
  for (; row < a.row_end; ++row) rows<Weight, 1>(a, row);
}

}  // namespace

void dense_f32(const DenseArgs& args) noexcept { dense<F32>(args); }
void dense_f16(const DenseArgs& args) noexcept { dense<F16>(args); }
void dense_bf16(const DenseArgs& args) noexcept { dense<Bf16>(args); }
void dense_q8_0(const DenseArgs& args) noexcept { dense<Q8_0>(args); }

}  // namespace tern::avx512
