// SPDX-License-Identifier: MIT
// What the ternary kernels of the three NEON sets share: everything but the integer sums. A panel line of
// layout T2 is four registers; dword lane j of register r is feature 4r + j, so a sum over columns needs no
// horizontal adds. Included by ternary*.cc only, each of which compiles its own copy with its own flags.
#pragma once

#include "kernels/cpu/neon/detail.h"

namespace tern::neon {

constexpr int kPanelRegisters = 4;  // 16 features

/// The part of a matrix that has one scale per row: a group of columns, or all of them.
struct Groups {
  bool grouped;
  int64_t cols, count;  // the last may be shorter
};

TERN_INLINE Groups groups_of(const TernaryArgs& a) {
  const bool grouped = a.scale_kind == WeightScale::kGroup;
  const int64_t cols = grouped ? a.group_cols : a.k_padded;
  return {grouped, cols, (a.k_padded + cols - 1) / cols};
}

/// y[r] takes in group `g` for one token: dot[r] = sum(code * q) of its row of q, or of two planes those of
/// its high and its low bytes, dot[0..3] and dot[4..7].
template <int kPlanes>
TERN_INLINE void fold_group(const TernaryArgs& a, const Groups& groups, int64_t g, int64_t panel,
                            int64_t token, const int32x4_t* dot, float32x4_t* y) {
  int32_t q_sum[kPlanes];
  for (int p = 0; p < kPlanes; ++p) {
    const int64_t row = kPlanes * token + p;
    if (!groups.grouped) {
      q_sum[p] = a.sums[row];
      continue;
    }
    const int64_t begin = g * groups.cols, end = min_i64(begin + groups.cols, a.k_padded);
    const int32_t* block = a.block_sums + row * (a.k_padded / kColumnPad);
    q_sum[p] = 0;
    for (int64_t i = begin / kColumnPad; i < end / kColumnPad; ++i) q_sum[p] += block[i];
  }
  TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
    int32x4_t sum = vsubq_s32(dot[r], vdupq_n_s32(q_sum[0]));
    if constexpr (kPlanes == 2) {
      const int32x4_t low = vsubq_s32(dot[kPanelRegisters + r], vdupq_n_s32(q_sum[1]));
      sum = vaddq_s32(vshlq_n_s32(sum, 8), low);
    }
    const float32x4_t s = vcvtq_f32_s32(sum);
    const float* scale = a.w_scale + (panel * groups.count + g) * kPanelRows + 4 * r;
    y[r] = groups.grouped ? vfmaq_f32(y[r], s, vld1q_f32(scale)) : s;
  }
}

/// The remaining scales, and the store of the features that exist.
TERN_INLINE void finish(const TernaryArgs& a, int64_t panel, int64_t token, const float32x4_t* y) {
  const int64_t row = panel * kPanelRows;
  const float32x4_t act_scale = vdupq_n_f32(a.act_scale[token]);
  TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
    float32x4_t out = vdivq_f32(y[r], act_scale);
    if (a.scale_kind == WeightScale::kRow) out = vmulq_f32(out, vld1q_f32(a.w_scale + row + 4 * r));
    if (a.scale_kind == WeightScale::kTensor) out = vmulq_n_f32(out, a.w_scale[0]);
    store(a.y + token * a.y_stride + row + 4 * r, a.rows - row - 4 * r, out);
  }
}

/// One panel x T rows of q; a token is kPlanes of them, `token` counts tokens. dot(w, q, q_stride, lines,
/// sums) writes sums[t][r] = sum(code * row t of q) over `lines` lines of the panel, a multiple of 4; row t
/// is t * q_stride behind q.
template <int T, int kPlanes, class Dot>
TERN_INLINE void panel_block(const TernaryArgs& a, int64_t panel, int64_t token, Dot dot) {
  constexpr int kTokens = T / kPlanes;
  const Groups groups = groups_of(a);
  float32x4_t y[kTokens][kPanelRegisters];
  for (int t = 0; t < kTokens; ++t)
    for (int r = 0; r < kPanelRegisters; ++r) y[t][r] = vdupq_n_f32(0.0f);
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t col = g * groups.cols, cols = min_i64(groups.cols, a.k_padded - col);
    const uint8_t* w = a.weights + (panel * a.k_padded + col) * (kLineBytes / kLineCols);
    int32x4_t sums[T][kPanelRegisters];
    dot(w, a.q + kPlanes * token * a.k_padded + col, a.k_padded, cols / kLineCols, sums);
    for (int t = 0; t < kTokens; ++t)
      fold_group<kPlanes>(a, groups, g, panel, token + t, sums[kPlanes * t], y[t]);
  }
  for (int t = 0; t < kTokens; ++t) finish(a, panel, token + t, y[t]);
}

using BlockFn = void (*)(const TernaryArgs&, int64_t panel, int64_t token) noexcept;

/// All panels and tokens of a call. blocks[t - 1] does t tokens, t up to `tile`; token ranges are cut into
/// tiles of nearly equal height (5 by 4 are 3 + 2, not 4 + 1) and into passes whose activations stay in a
/// small L2 while the panels go by.
TERN_INLINE void for_each_tile(const TernaryArgs& a, const BlockFn* blocks, int64_t tile, int64_t planes) {
  constexpr int64_t kPassBytes = 128 * 1024;
  const int64_t pass = max_i64(tile, kPassBytes / (planes * a.k_padded));
  for (int64_t begin = 0; begin < a.tokens; begin += pass) {
    const int64_t end = min_i64(begin + pass, a.tokens), count = (end - begin + tile - 1) / tile;
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t first = begin + (end - begin) * i / count,
                      last = begin + (end - begin) * (i + 1) / count;
        blocks[last - first - 1](a, panel, first);
      }
  }
}

}  // namespace tern::neon
