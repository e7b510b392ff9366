// SPDX-License-Identifier: MIT
// Dense weights (head, layers kept in floating point) times f32 activations. The 16 strided lanes of sum16
// are two registers; rows and tokens are blocked around them. Called through KernelTable::dense_*.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

constexpr int64_t kRows = 2, kTokens = 2;  // 8 accumulators, 2 weight and up to 4 activation registers of 16

// How 16 consecutive weights become f32: part p of a step of kParts, which shares what scale() gives. Rows
// may have any alignment.
struct NoScale {};
struct F32 {
  static constexpr int64_t kParts = 1, kBytes = 64;
  TERN_INLINE NoScale scale(const std::byte*) { return {}; }
  TERN_INLINE Lanes16 load16(const std::byte* step, NoScale, int64_t) {
    const auto* at = reinterpret_cast<const float*>(step);  // only ever an address: loadu needs no alignment
    return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
  }
};
struct F16 {
  static constexpr int64_t kParts = 1, kBytes = 32;
  TERN_INLINE NoScale scale(const std::byte*) { return {}; }
  TERN_INLINE Lanes16 load16(const std::byte* step, NoScale, int64_t) {
    const auto* at = reinterpret_cast<const __m128i*>(step);
    return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
  }
};
struct Bf16 {
  static constexpr int64_t kParts = 1, kBytes = 32;
  TERN_INLINE NoScale scale(const std::byte*) { return {}; }
  TERN_INLINE __m256 widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  TERN_INLINE Lanes16 load16(const std::byte* step, NoScale, int64_t) {
    const auto* at = reinterpret_cast<const __m128i*>(step);
    return {widen(_mm_loadu_si128(at)), widen(_mm_loadu_si128(at + 1))};
  }
};
// Blocks of an f16 scale and 32 int8. The product is exact: 11 + 8 significant bits fit into 24.
struct Q8_0 {
  static constexpr int64_t kParts = 2, kBytes = 34;
  TERN_INLINE __m256 scale(const std::byte* step) {
    int16_t half;
    __builtin_memcpy(&half, step, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
  }
  TERN_INLINE __m256 load8(const std::byte* at, __m256 scale) {
    const __m128i q = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
  }
  TERN_INLINE Lanes16 load16(const std::byte* step, __m256 scale, int64_t part) {
    const std::byte* at = step + 2 + 16 * part;
    return {load8(at, scale), load8(at + 8, scale)};
  }
};

/// The last n < 16 weights of a row, through a copy: nothing behind the row is read. Not reached for Q8_0.
template <class Weight>
TERN_INLINE Lanes16 load_tail(const std::byte* row, int64_t i, int64_t n) {
  std::byte copy[64] = {};
  __builtin_memcpy(copy, row + i / 16 * Weight::kBytes, static_cast<size_t>(n * Weight::kBytes / 16));
  return Weight::load16(copy, Weight::scale(copy), 0);
}

/// The lanes of R rows x T tokens over the first `cols` columns, a multiple of 16. Accumulates in an array of
/// its own: g++ keeps those of a function that also uses them elsewhere on the stack. Row by row: with the
/// weights of all rows in registers at once it keeps accumulators of q8_0 on the stack.
template <class Weight, int R, int T>
TERN_INLINE void dot(const DenseArgs& a, const std::byte* w, const float* x, int64_t cols,
                     Lanes16 (&lanes)[R][T]) {
  __m256 acc[R][T][2];
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t) acc[r][t][0] =
      acc[r][t][1] = _mm256_setzero_ps();
  for (int64_t i = 0; i < cols; i += 16 * Weight::kParts, w += Weight::kBytes) {
    TERN_UNROLL for (int r = 0; r < R; ++r) {
      const std::byte* step = w + r * a.row_bytes;
      const auto scale = Weight::scale(step);
      TERN_UNROLL for (int part = 0; part < Weight::kParts; ++part) {
        const Lanes16 weight = Weight::load16(step, scale, part);
        TERN_UNROLL for (int t = 0; t < T; ++t) {
          const float* at = x + t * a.x_stride + i + 16 * part;
          acc[r][t][0] = _mm256_fmadd_ps(weight.low, _mm256_loadu_ps(at), acc[r][t][0]);
          acc[r][t][1] = _mm256_fmadd_ps(weight.high, _mm256_loadu_ps(at + 8), acc[r][t][1]);
        }
      }
      // Ahead by a whole block of rows: further along the same row would end in the neighbour's, read
      // already.
      _mm_prefetch(reinterpret_cast<const char*>(step + R * a.row_bytes), _MM_HINT_T0);
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
