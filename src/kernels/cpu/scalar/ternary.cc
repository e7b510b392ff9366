// SPDX-License-Identifier: MIT
// Ternary weights (layout T2) times activations of 8 or 16 bits: the exact integer sum, then the scales.
#include <algorithm>

#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

namespace {

constexpr int64_t kRows = 8;  // rows of q that share one decoding of a line

/// line[4*j + b], bits 2f+1..2f  ->  codes[j][4*f + b], 0..3.
void decode_line(const uint8_t* line, int16_t codes[kPanelRows][kLineCols]) {
  for (int j = 0; j < kPanelRows; ++j) {
    for (int f = 0; f < 4; ++f) {
      for (int b = 0; b < 4; ++b) codes[j][4 * f + b] = line[4 * j + b] >> 2 * f & 3;
    }
  }
}

/// sum[t][j] = sum of code * q over the lines [line_begin, line_end) of a panel, for `rows` rows of q.
void sum_codes(const uint8_t* panel, int64_t line_begin, int64_t line_end, const int8_t* q, int64_t k_padded,
               int64_t rows, int32_t sum[kRows][kPanelRows]) {
  for (int64_t t = 0; t < rows; ++t) std::fill_n(sum[t], kPanelRows, 0);
  for (int64_t line = line_begin; line < line_end; ++line) {
    int16_t codes[kPanelRows][kLineCols];
    decode_line(panel + line * kLineBytes, codes);
    for (int64_t t = 0; t < rows; ++t) {
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

/// sum[t][j] = S of token t: sum(value * q) = sum(code * q) - sum(q), and of two planes 256 * S_h + S_l.
template <int kPlanes>
void sum_values(const int32_t* sums_of_q, int64_t tokens, int32_t sum[kRows][kPanelRows]) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int j = 0; j < kPanelRows; ++j) {
      int32_t value = sum[kPlanes * t][j] - sums_of_q[kPlanes * t];
      if constexpr (kPlanes == 2) value = 256 * value + (sum[2 * t + 1][j] - sums_of_q[2 * t + 1]);
      sum[t][j] = value;  // row t was read at or before this token
    }
  }
}

/// The tokens [token, token + tokens) of one panel, one scale per tensor or row.
template <int kPlanes>
void whole_rows(const TernaryArgs& a, int64_t panel, int64_t token, int64_t tokens) {
  const int64_t lines = a.k_padded / kLineCols;
  const int64_t features = std::min(kPanelRows, a.rows - panel * kPanelRows);
  int32_t sum[kRows][kPanelRows];
  sum_codes(a.weights + panel * lines * kLineBytes, 0, lines, a.q + kPlanes * token * a.k_padded, a.k_padded,
            kPlanes * tokens, sum);
  sum_values<kPlanes>(a.sums + kPlanes * token, tokens, sum);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t m = token + t;
    for (int64_t j = 0; j < features; ++j) {
      const int64_t n = panel * kPanelRows + j;
      const float w = a.w_scale[a.scale_kind == WeightScale::kRow ? n : 0];
      a.y[m * a.y_stride + n] = static_cast<float>(sum[t][j]) / a.act_scale[m] * w;
    }
  }
}

/// The same with a scale per group of columns.
template <int kPlanes>
void groups_of_columns(const TernaryArgs& a, int64_t panel, int64_t token, int64_t tokens) {
  const int64_t lines = a.k_padded / kLineCols, blocks = a.k_padded / kColumnPad;
  const int64_t features = std::min(kPanelRows, a.rows - panel * kPanelRows);
  const int64_t groups = (a.k_padded + a.group_cols - 1) / a.group_cols;
  float acc[kRows][kPanelRows] = {};
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * a.group_cols, end = std::min(begin + a.group_cols, a.k_padded);
    int32_t sum[kRows][kPanelRows], sums_of_q[kRows] = {};
    sum_codes(a.weights + panel * lines * kLineBytes, begin / kLineCols, end / kLineCols,
              a.q + kPlanes * token * a.k_padded, a.k_padded, kPlanes * tokens, sum);
    for (int64_t t = 0; t < kPlanes * tokens; ++t) {
      for (int64_t b = begin / kColumnPad; b < end / kColumnPad; ++b)
        sums_of_q[t] += a.block_sums[(kPlanes * token + t) * blocks + b];
    }
    sum_values<kPlanes>(sums_of_q, tokens, sum);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t j = 0; j < kPanelRows; ++j) {
        const float w = a.w_scale[(panel * groups + g) * kPanelRows + j];
        acc[t][j] = std::fma(static_cast<float>(sum[t][j]), w, acc[t][j]);
      }
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t m = token + t;
    for (int64_t j = 0; j < features; ++j)
      a.y[m * a.y_stride + panel * kPanelRows + j] = acc[t][j] / a.act_scale[m];
  }
}

template <int kPlanes>
void product(const TernaryArgs& a) {
  const auto part = a.scale_kind == WeightScale::kGroup ? groups_of_columns<kPlanes> : whole_rows<kPlanes>;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel) {
    for (int64_t token = 0; token < a.tokens; token += kRows / kPlanes)
      part(a, panel, token, std::min(kRows / kPlanes, a.tokens - token));
  }
}

}  // namespace

void ternary(const TernaryArgs& args) noexcept { product<1>(args); }
void ternary16(const TernaryArgs& args) noexcept { product<2>(args); }

}  // namespace tern::scalar
