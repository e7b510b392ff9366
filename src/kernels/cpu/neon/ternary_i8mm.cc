// SPDX-License-Identifier: MIT
// Ternary products from layout T2 with smmla, which multiplies 2 rows of q x 8 columns by 8 columns x 2
// features. A stretch of a panel is unpacked once, into the first-level cache, for all rows of a pass; few
// rows go to the sdot kernel. Called through KernelTable::ternary and ternary16. Compiled for ARMv8.2-A with
// dot product and i8mm; the registry knows.
#include "kernels/cpu/neon/ternary_detail.h"

namespace tern::neon {
namespace {

// Rows of q up to which sdot needs fewer instructions a line than unpacking, storing and loading again
// (counted, not measured).
constexpr int64_t kStreamRows = 4;
constexpr int kTilePairs = 3;  // pairs of rows: 24 accumulators, 3 activation and 1 weight register of 32
constexpr int64_t kTileRows = 2 * kTilePairs;
constexpr int64_t kPassRows = 48;     // their sums are 3 KB; whole tiles
constexpr int64_t kUnpackLines = 16;  // 256 columns of 16 features: 4 KB
constexpr int kPairs = 8;             // feature pairs of a panel
constexpr int64_t kStepCols = 8;

/// The codes of some lines, int8: [column / 8][feature pair][2 features][8 columns].
using Codes = int8_t[kUnpackLines * 2][kPairs][16];
/// sum(code * q) of each row of a pass; a pair without a second row fills one too many.
using Sums = int32_t[kPassRows][kPanelRows];

TERN_INLINE void unpack(const uint8_t* w, int64_t lines, Codes& codes) {
  const uint8x16_t three = vdupq_n_u8(3);
  for (int64_t i = 0; i < lines; ++i, w += kLineBytes) TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
      const uint8x16_t line = vld1q_u8(w + 16 * r);
      const uint8x16_t field[4] = {vandq_u8(line, three), vandq_u8(vshrq_n_u8(line, 2), three),
                                   vandq_u8(vshrq_n_u8(line, 4), three), vshrq_n_u8(line, 6)};
      TERN_UNROLL for (int half = 0; half < 2;
                       ++half) {  // dword j of two fields: 8 columns of feature 4r + j
        const int32x4_t left = vreinterpretq_s32_u8(field[2 * half]),
                        right = vreinterpretq_s32_u8(field[2 * half + 1]);
        vst1q_s8(codes[2 * i + half][2 * r], vreinterpretq_s8_s32(vzip1q_s32(left, right)));
        vst1q_s8(codes[2 * i + half][2 * r + 1], vreinterpretq_s8_s32(vzip2q_s32(left, right)));
      }
    }
}

/// sums[2p] += the products of the row at q[p][0], sums[2p + 1] those of q[p][1].
template <int P>
TERN_INLINE void tile_dot(const Codes& codes, int64_t steps, const int8_t* (&q)[P][2],
                          int32_t (*sums)[kPanelRows]) {
  int32x4_t acc[P][kPairs];  // row 0 x feature 0, 0 x 1, 1 x 0, 1 x 1
  TERN_UNROLL for (int p = 0; p < P; ++p) TERN_UNROLL for (int i = 0; i < kPairs; ++i) acc[p][i] =
      vdupq_n_s32(0);
  for (int64_t s = 0; s < steps; ++s) {
    int8x16_t x[P];
    TERN_UNROLL for (int p = 0; p < P; ++p) x[p] =
        vcombine_s8(vld1_s8(q[p][0] + s * kStepCols), vld1_s8(q[p][1] + s * kStepCols));
    TERN_UNROLL for (int i = 0; i < kPairs; ++i) {
      const int8x16_t weight = vld1q_s8(codes[s][i]);
      TERN_UNROLL for (int p = 0; p < P; ++p) acc[p][i] = vmmlaq_s32(acc[p][i], x[p], weight);
    }
  }
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < kPairs; ++i) {
      int32_t* first = sums[2 * p] + 2 * i;
      int32_t* second = sums[2 * p + 1] + 2 * i;
      vst1_s32(first, vadd_s32(vld1_s32(first), vget_low_s32(acc[p][i])));
      vst1_s32(second, vadd_s32(vld1_s32(second), vget_high_s32(acc[p][i])));
    }
}

/// Rows [begin, end) of q over the unpacked columns, P pairs at a time. The last of `rows` rows without a
/// partner is its own.
template <int P>
void tiles(const Codes& codes, int64_t steps, const int8_t* q, int64_t q_stride, int64_t rows, int64_t begin,
           int64_t end, Sums& sums) noexcept {
  for (int64_t t = begin; t < end; t += 2 * P) {
    const int8_t* pairs[P][2];
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < 2; ++i) pairs[p][i] = q + min_i64(t + 2 * p + i, rows - 1) * q_stride;
    tile_dot<P>(codes, steps, pairs, sums + t);
  }
}

/// sums = the products of one group of columns of a panel with `rows` rows of q.
void sum_group(const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines, int64_t rows,
               Sums& sums) noexcept {
  for (int64_t t = 0; t < rows + rows % 2; ++t)
    for (int r = 0; r < kPanelRegisters; ++r) vst1q_s32(sums[t] + 4 * r, vdupq_n_s32(0));
  const int64_t whole = rows / kTileRows * kTileRows;
  const int64_t four = rows - whole > 2 ? whole + 4 : whole;  // then two pairs at once
  for (int64_t line = 0; line < lines; line += kUnpackLines) {
    const int64_t part = min_i64(kUnpackLines, lines - line), steps = 2 * part;
    Codes codes;
    unpack(w + line * kLineBytes, part, codes);
    const int8_t* columns = q + line * kLineCols;
    tiles<kTilePairs>(codes, steps, columns, q_stride, rows, 0, whole, sums);
    tiles<2>(codes, steps, columns, q_stride, rows, whole, four, sums);
    tiles<1>(codes, steps, columns, q_stride, rows, four, rows, sums);
  }
}

/// One panel x `tokens` tokens, of at most kPassRows rows.
template <int kPlanes>
void block(const TernaryArgs& a, int64_t panel, int64_t token, int64_t tokens) noexcept {
  const Groups groups = groups_of(a);
  Sums sums;
  float32x4_t y[kPassRows / kPlanes][kPanelRegisters];
  for (int64_t t = 0; t < tokens; ++t)
    for (int r = 0; r < kPanelRegisters; ++r) y[t][r] = vdupq_n_f32(0.0f);
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t col = g * groups.cols, cols = min_i64(groups.cols, a.k_padded - col);
    const uint8_t* w = a.weights + (panel * a.k_padded + col) * (kLineBytes / kLineCols);
    const int8_t* q = a.q + kPlanes * token * a.k_padded + col;
    sum_group(w, q, a.k_padded, cols / kLineCols, kPlanes * tokens, sums);
    for (int64_t t = 0; t < tokens; ++t) {
      int32x4_t dot[kPlanes * kPanelRegisters];
      for (int r = 0; r < kPlanes * kPanelRegisters; ++r) dot[r] = vld1q_s32(sums[kPlanes * t] + 4 * r);
      fold_group<kPlanes>(a, groups, g, panel, token + t, dot, y[t]);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) finish(a, panel, token + t, y[t]);
}

template <int kPlanes>
void product(const TernaryArgs& a) noexcept {
  const int64_t rows = kPlanes * a.tokens, passes = (rows + kPassRows - 1) / kPassRows;
  const int64_t tiles_of_pass = (rows + passes * kTileRows - 1) / (passes * kTileRows);
  const int64_t pass = tiles_of_pass * kTileRows / kPlanes;  // tokens: 49 rows are 30 + 19, not 48 + 1
  for (int64_t token = 0; token < a.tokens; token += pass)
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
      block<kPlanes>(a, panel, token, min_i64(pass, a.tokens - token));
}

}  // namespace

void ternary_i8mm(const TernaryArgs& a) noexcept {
  if (a.tokens <= kStreamRows) return ternary_dotprod(a);
  product<1>(a);
}
void ternary16_i8mm(const TernaryArgs& a) noexcept {
  if (2 * a.tokens <= kStreamRows) return ternary16_dotprod(a);
  product<2>(a);
}

}  // namespace tern::neon
