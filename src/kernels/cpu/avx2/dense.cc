// SPDX-License-Identifier: MIT
// Dense weights (head, layers kept in floating point) times f32 activations. The 16 strided lanes of sum16
// are two registers; rows and tokens are blocked around them. Called through KernelTable::dense_*.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

constexpr int64_t kRows = 2, kTokens = 2;  // 8 accumulators, 4 weight and 2 activation registers of 16

// How 16 consecutive weights of a row become f32. Rows may have any alignment.
struct F32 {
  static constexpr int64_t kBytes16 = 64;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at =
        reinterpret_cast<const float*>(row + i * 4);  // only ever an address: loadu needs no alignment
    return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
  }
};
struct F16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at = reinterpret_cast<const __m128i*>(row + i * 2);
    return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
  }
};
struct Bf16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE __m256 widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at = reinterpret_cast<const __m128i*>(row + i * 2);
    return {widen(_mm_loadu_si128(at)), widen(_mm_loadu_si128(at + 1))};
  }
};
// Blocks of an f16 scale and 32 int8. The product is exact: 11 + 8 significant bits fit into 24.
struct Q8_0 {
  static constexpr int64_t kBytes16 = 17;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const std::byte* block = row + i / 32 * 34;
    int16_t half;
    __builtin_memcpy(&half, block, sizeof half);
    const __m256 scale = _mm256_cvtph_ps(_mm_set1_epi16(half));
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + i % 32));
    return {_mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q))),
            _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q))))};
  }
};

/// The last n < 16 weights of a row, through a copy: nothing behind the row is read. Not reached for Q8_0.
template <class Weight>
TERN_INLINE Lanes16 load_tail(const std::byte* row, int64_t i, int64_t n) {
  std::byte copy[64] = {};
  __builtin_memcpy(copy, row + i / 16 * Weight::kBytes16, static_cast<size_t>(n * Weight::kBytes16 / 16));
  return Weight::load16(copy, 0);
}

/// The lanes of R rows x T tokens over the first `cols` columns, a multiple of 16. Accumulates in an array of
/// its own: g++ keeps those of a function that also uses them elsewhere on the stack.
template <class Weight, int R, int T>
TERN_INLINE void dot(const DenseArgs& a, const std::byte* w, const float* x, int64_t cols,
                     Lanes16 (&lanes)[R][T]) {
  __m256 acc[R][T][2];
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t) acc[r][t][0] =
      acc[r][t][1] = _mm256_setzero_ps();
  for (int64_t i = 0; i < cols; i += 16) {
    __m256 weight[R][2];
    TERN_UNROLL for (int r = 0; r < R; ++r) {
      // Ahead by a whole block of rows: further along the same row would end in the neighbour's, read
      // already.
      const std::byte* row = w + r * a.row_bytes;
      const Lanes16 next = Weight::load16(row, i);
      weight[r][0] = next.low;
      weight[r][1] = next.high;
      _mm_prefetch(reinterpret_cast<const char*>(row + i / 16 * Weight::kBytes16 + R * a.row_bytes),
                   _MM_HINT_T0);
    }
    TERN_UNROLL for (int t = 0; t < T; ++t) {
      const __m256 low = _mm256_loadu_ps(x + t * a.x_stride + i),
                   high = _mm256_loadu_ps(x + t * a.x_stride + i + 8);
      TERN_UNROLL for (int r = 0; r < R; ++r) {
        acc[r][t][0] = _mm256_fmadd_ps(weight[r][0], low, acc[r][t][0]);
        acc[r][t][1] = _mm256_fmadd_ps(weight[r][1], high, acc[r][t][1]);
      }
    }
  }
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t)
      lanes[r][t] = {acc[r][t][0], acc[r][t][1]};
}

/// R rows x T tokens.
template <class Weight, int R, int T>
void block(const DenseArgs& a, int64_t row, int64_t token) noexcept {
  const std::byte* w = a.weights + row * a.row_bytes;
  const float* x = a.x + token * a.x_stride;
  const int64_t full = a.cols & ~int64_t{15}, n = a.cols - full;
  Lanes16 lanes[R][T];
  dot<Weight, R, T>(a, w, x, full, lanes);
  if (n > 0) {
    for (int r = 0; r < R; ++r) {
      const Lanes16 weight = load_tail<Weight>(w + r * a.row_bytes, full, n);
      for (int t = 0; t < T; ++t) {
        const float* at = x + t * a.x_stride + full;
        lanes[r][t] = {fma_first(weight.low, load(at, n), lanes[r][t].low, n),
                       fma_first(weight.high, load(at + 8, n - 8), lanes[r][t].high, n - 8)};
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int t = 0; t < T; ++t) a.y[(token + t) * a.y_stride + row + r] = halve16(lanes[r][t]);
}

/// All tokens for R rows. A single token leaves registers for twice the rows (see dense below).
template <class Weight, int R>
void rows(const DenseArgs& a, int64_t row) noexcept {
  int64_t token = 0;
  for (; token + kTokens <= a.tokens; token += kTokens) block<Weight, R, kTokens>(a, row, token);
  if (token < a.tokens) block<Weight, R, 1>(a, row, token);
}

template <class Weight>
void dense(const DenseArgs& a) noexcept {
  int64_t row = a.row_begin;
  if (a.tokens == 1)
    for (; row + 2 * kRows <= a.row_end; row += 2 * kRows) block<Weight, 2 * kRows, 1>(a, row, 0);
  for (; row + kRows <= a.row_end; row += kRows) rows<Weight, kRows>(a, row);
  for (; row < a.row_end; ++row) rows<Weight, 1>(a, row);
}

}  // namespace

void dense_f32(const DenseArgs& args) noexcept { dense<F32>(args); }
void dense_f16(const DenseArgs& args) noexcept { dense<F16>(args); }
void dense_bf16(const DenseArgs& args) noexcept { dense<Bf16>(args); }
void dense_q8_0(const DenseArgs& args) noexcept { dense<Q8_0>(args); }

}  // namespace tern::avx2
