// SPDX-License-Identifier: MIT
// Dense weights (head, layers kept in floating point) times f32 activations. The 16 strided lanes of sum16
// are four registers; rows and tokens are blocked around them. Called through KernelTable::dense_*.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {
namespace {

constexpr int64_t kRows = 2, kTokens = 2;  // 16 accumulators, 8 weight and 4 activation registers of 32

// How 16 consecutive weights of a row become f32. Rows may have any alignment: loads are of bytes.
struct F32 {
  static constexpr int64_t kBytes16 = 64;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at = reinterpret_cast<const uint8_t*>(row + i * 4);
    Lanes16 w;
    TERN_UNROLL for (int c = 0; c < 4; ++c) w.v[c] = vreinterpretq_f32_u8(vld1q_u8(at + 16 * c));
    return w;
  }
};
struct F16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at = reinterpret_cast<const uint8_t*>(row + i * 2);
    Lanes16 w;
    TERN_UNROLL for (int c = 0; c < 4; ++c) w.v[c] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at + 8 * c)));
    return w;
  }
};
struct Bf16 {
  static constexpr int64_t kBytes16 = 32;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const auto* at = reinterpret_cast<const uint8_t*>(row + i * 2);
    Lanes16 w;
    TERN_UNROLL for (int c = 0; c < 4; ++c) w.v[c] =
        vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(at + 8 * c)), 16));
    return w;
  }
};
// Blocks of an f16 scale and 32 int8. The product is exact: 11 + 8 significant bits fit into 24.
struct Q8_0 {
  static constexpr int64_t kBytes16 = 17;
  TERN_INLINE Lanes16 load16(const std::byte* row, int64_t i) {
    const std::byte* block = row + i / 32 * 34;
    uint16_t half;
    __builtin_memcpy(&half, block, sizeof half);
    const float32x4_t scale = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
    const int8x16_t q = vld1q_s8(reinterpret_cast<const int8_t*>(block + 2 + i % 32));
    const int16x8_t words[2] = {vmovl_s8(vget_low_s8(q)), vmovl_high_s8(q)};
    Lanes16 w;
    TERN_UNROLL for (int c = 0; c < 2; ++c) {
      w.v[2 * c] = vmulq_f32(scale, vcvtq_f32_s32(vmovl_s16(vget_low_s16(words[c]))));
      w.v[2 * c + 1] = vmulq_f32(scale, vcvtq_f32_s32(vmovl_high_s16(words[c])));
    }
    return w;
  }
};

/// The last n < 16 weights of a row, through a copy: nothing behind the row is read. Not reached for Q8_0.
template <class Weight>
TERN_INLINE Lanes16 load_tail(const std::byte* row, int64_t i, int64_t n) {
  std::byte copy[64] = {};
  __builtin_memcpy(copy, row + i / 16 * Weight::kBytes16, static_cast<size_t>(n * Weight::kBytes16 / 16));
  return Weight::load16(copy, 0);
}

/// The lanes of R rows x T tokens over the first `cols` columns, a multiple of 16.
template <class Weight, int R, int T>
TERN_INLINE void dot(const DenseArgs& a, const std::byte* w, const float* x, int64_t cols,
                     Lanes16 (&lanes)[R][T]) {
  float32x4_t acc[R][T][4];
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t)
      TERN_UNROLL for (int c = 0; c < 4; ++c) acc[r][t][c] = vdupq_n_f32(0.0f);
  for (int64_t i = 0; i < cols; i += 16) {
    Lanes16 weight[R];
    TERN_UNROLL for (int r = 0; r < R; ++r) weight[r] = Weight::load16(w + r * a.row_bytes, i);
    TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int c = 0; c < 4; ++c) {
      const float32x4_t v = vld1q_f32(x + t * a.x_stride + i + 4 * c);
      TERN_UNROLL for (int r = 0; r < R; ++r) acc[r][t][c] = vfmaq_f32(acc[r][t][c], weight[r].v[c], v);
    }
  }
  TERN_UNROLL for (int r = 0; r < R; ++r) TERN_UNROLL for (int t = 0; t < T; ++t)
      TERN_UNROLL for (int c = 0; c < 4; ++c) lanes[r][t]
          .v[c] = acc[r][t][c];
}

/// R rows x T tokens. `w` is the first row, `y` the first of its results for token 0.
template <class Weight, int R, int T>
void block(const DenseArgs& a, const std::byte* w, int64_t token, float* y) noexcept {
  const float* x = a.x + token * a.x_stride;
  const int64_t full = a.cols & ~int64_t{15}, n = a.cols - full;
  Lanes16 lanes[R][T];
  dot<Weight, R, T>(a, w, x, full, lanes);
  if (n > 0) {
    for (int r = 0; r < R; ++r) {
      const Lanes16 weight = load_tail<Weight>(w + r * a.row_bytes, full, n);
      for (int t = 0; t < T; ++t)
        for (int c = 0; c < 4; ++c) {
          const float32x4_t v = load(x + t * a.x_stride + full + 4 * c, n - 4 * c);
          lanes[r][t].v[c] = fma_first(weight.v[c], v, lanes[r][t].v[c], n - 4 * c);
        }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int t = 0; t < T; ++t) y[(token + t) * a.y_stride + r] = halve16(lanes[r][t]);
}

/// All tokens for R rows.
template <class Weight, int R>
void rows(const DenseArgs& a, const std::byte* w, float* y) noexcept {
  int64_t token = 0;
  for (; token + kTokens <= a.tokens; token += kTokens) block<Weight, R, kTokens>(a, w, token, y);
  if (token < a.tokens) block<Weight, R, 1>(a, w, token, y);
}

template <class Weight>
void dense(const DenseArgs& a) noexcept {
  int64_t row = a.row_begin;
  const auto weights = [&a](int64_t r) { return a.weights + r * a.row_bytes; };
  if (a.tokens == 1)  // leaves registers for twice the rows
    for (; row + 2 * kRows <= a.row_end; row += 2 * kRows)
      block<Weight, 2 * kRows, 1>(a, weights(row), 0, a.y + row);
  for (; row + kRows <= a.row_end; row += kRows) rows<Weight, kRows>(a, weights(row), a.y + row);
  for (; row < a.row_end; ++row) rows<Weight, 1>(a, weights(row), a.y + row);
}

}  // namespace

void dense_f32(const DenseArgs& args) noexcept { dense<F32>(args); }
void dense_f16(const DenseArgs& args) noexcept { dense<F16>(args); }
void dense_bf16(const DenseArgs& args) noexcept { dense<Bf16>(args); }
void dense_q8_0(const DenseArgs& args) noexcept { dense<Q8_0>(args); }

/// Any other storage: row by row through its own dequantize.
void dense_any(const DenseArgs& args) noexcept {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    args.dequantize(args.weights + row * args.row_bytes, static_cast<uint64_t>(args.cols), args.scratch);
    rows<F32, 1>(args, reinterpret_cast<const std::byte*>(args.scratch), args.y + row);
  }
}

}  // namespace tern::neon
