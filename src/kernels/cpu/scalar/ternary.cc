// SPDX-License-Identifier: MIT
// Ternary weights (layout T2) times int8 activations: the exact integer sum, then the scales.
#include <algorithm>

#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

namespace {

constexpr int64_t kTokens = 8;  // tokens that share one decoding of a line

/// line[4*j + b], bits 2f+1..2f  ->  codes[j][4*f + b], 0..3.
void decode_line(const uint8_t* line, int16_t codes[kPanelRows][kLineCols]) {
  for (int j = 0; j < kPanelRows; ++j) {
    for (int f = 0; f < 4; ++f) {
      for (int b = 0; b < 4; ++b) codes[j][4 * f + b] = line[4 * j + b] >> 2 * f & 3;
    }
  }
}

/// sum[t][j] = sum of code * q over the lines [line_begin, line_end) of a panel, for `tokens` rows of q.
void sum_codes(const uint8_t* panel, int64_t line_begin, int64_t line_end, const int8_t* q, int64_t k_padded,
               int64_t tokens, int32_t sum[kTokens][kPanelRows]) {
  for (int64_t t = 0; t < tokens; ++t) std::fill_n(sum[t], kPanelRows, 0);
  for (int64_t line = line_begin; line < line_end; ++line) {
    int16_t codes[kPanelRows][kLineCols];
    decode_line(panel + line * kLineBytes, codes);
    for (int64_t t = 0; t < tokens; ++t) {
      int16_t x[kLineCols];
      std::copy_n(q + t * k_padded + line * kLineCols, kLineCols, x);
      for (int j = 0; j < kPanelRows; ++j) {
        int32_t dot = 0;
        for (int i = 0; i < kLineCols; ++i) dot += codes[j][i] * x[i];
        sum[t][j] += dot;
      }
    }
  }
}

}  // namespace

void ternary(const TernaryArgs& a) noexcept {
  const int64_t lines = a.k_padded / kLineCols;
  const int64_t blocks = a.k_padded / kColumnPad;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel) {
    const uint8_t* weights = a.weights + panel * lines * kLineBytes;
    const int64_t features = std::min(kPanelRows, a.rows - panel * kPanelRows);
    for (int64_t token = 0; token < a.tokens; token += kTokens) {
      const int64_t tokens = std::min(kTokens, a.tokens - token);
      const int8_t* q = a.q + token * a.k_padded;
      int32_t sum[kTokens][kPanelRows];

      if (a.scale_kind != WeightScale::kGroup) {
        sum_codes(weights, 0, lines, q, a.k_padded, tokens, sum);
        for (int64_t t = 0; t < tokens; ++t) {
          const int64_t m = token + t;
          for (int64_t j = 0; j < features; ++j) {
            const int64_t n = panel * kPanelRows + j;
            const float w = a.w_scale[a.scale_kind == WeightScale::kRow ? n : 0];
            a.y[m * a.y_stride + n] = static_cast<float>(sum[t][j] - a.sums[m]) / a.act_scale[m] * w;
          }
        }
        continue;
      }

      const int64_t groups = (a.k_padded + a.group_cols - 1) / a.group_cols;
      float acc[kTokens][kPanelRows] = {};
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t begin = g * a.group_cols, end = std::min(begin + a.group_cols, a.k_padded);
        sum_codes(weights, begin / kLineCols, end / kLineCols, q, a.k_padded, tokens, sum);
        for (int64_t t = 0; t < tokens; ++t) {
          int32_t sum_of_q = 0;
          for (int64_t b = begin / kColumnPad; b < end / kColumnPad; ++b)
            sum_of_q += a.block_sums[(token + t) * blocks + b];
          for (int64_t j = 0; j < kPanelRows; ++j) {
            const float w = a.w_scale[(panel * groups + g) * kPanelRows + j];
            acc[t][j] = std::fma(static_cast<float>(sum[t][j] - sum_of_q), w, acc[t][j]);
          }
        }
      }
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t m = token + t;
        for (int64_t j = 0; j < features; ++j)
          a.y[m * a.y_stride + panel * kPanelRows + j] = acc[t][j] / a.act_scale[m];
      }
    }
  }
}

}  // namespace tern::scalar
