// SPDX-License-Identifier: MIT
// Ternary products from layout T2 with vpmaddubsw: a panel line is two registers (features 0-7 and 8-15), a
// feature is one dword lane of them, so there are no horizontal sums. Called through KernelTable::ternary
// and ternary16.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

constexpr int64_t kTileTokens =
    4;  // rows of q: 2 x 4 int16 accumulators, 2 codes and 1 activation of the 16 registers
// Activations of one pass over the panels; they are read once per panel and should stay in a small L2.
constexpr int64_t kPassBytes = 128 * 1024;
// 2 - 2.5 KB was best on a Sapphire Rapids; a Zen 5 streams as fast with any distance from 0 to 4 KB (Nov
// 2026).
constexpr int64_t kPrefetchBytes = 2304;

// A code is at most 3 and |q| at most 128, so one vpmaddubsw gives pair sums of at most 2 * 3 * 128 = 768
// without saturating, and 42 of them may be added in int16. A line has 4 fields: this many lines between
// widenings.
constexpr int64_t kLinesInInt16 = 4;
static_assert(kLinesInInt16 * 4 <= 42 && 42 * 2 * 3 * 128 <= 32767);
static_assert(kColumnPad % (kLinesInInt16 * kLineCols) == 0);  // no part of a run of lines is left over

TERN_INLINE __m256i broadcast4(const int8_t* q) {
  int32_t v;
  __builtin_memcpy(&v, q, sizeof v);
  return _mm256_set1_epi32(v);
}

/// dot[t][half] = sum(u*q[t]) of features 8*half.. of one panel; |sum| < 2^31 by the bound in kernel_table.h.
template <int T>
TERN_INLINE void tile_dot(const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines,
                          __m256i (&dot)[T][2]) {
  const __m256i three = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  __m256i wide[T][2];
  TERN_UNROLL for (int t = 0; t < T; ++t) wide[t][0] = wide[t][1] = _mm256_setzero_si256();
  for (int64_t i = 0; i < lines; i += kLinesInInt16) {
    __m256i acc[T][2];
    TERN_UNROLL for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int64_t l = 0; l < kLinesInInt16; ++l, w += kLineBytes, q += kLineCols) {
      _mm_prefetch(reinterpret_cast<const char*>(w + kPrefetchBytes), _MM_HINT_T0);
      TERN_UNROLL for (int f = 0; f < 4; ++f) {
        // Loading the line again for each field costs less than the two registers that would hold it.
        __m256i codes[2];
        TERN_UNROLL for (int half = 0; half < 2; ++half) {
          const __m256i line = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * half));
          codes[half] = _mm256_and_si256(_mm256_srli_epi16(line, 2 * f), three);
        }
        TERN_UNROLL for (int t = 0; t < T; ++t) {
          const __m256i x = broadcast4(q + t * q_stride + 4 * f);
          TERN_UNROLL for (int half = 0; half < 2; ++half) acc[t][half] =
              _mm256_add_epi16(acc[t][half], _mm256_maddubs_epi16(codes[half], x));
        }
      }
    }
    TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int half = 0; half < 2; ++half) wide[t][half] =
        _mm256_add_epi32(wide[t][half], _mm256_madd_epi16(acc[t][half], ones));
  }
  TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int half = 0; half < 2; ++half) dot[t][half] =
      wide[t][half];
}

/// Sum of q over the columns of a group, from the sums of its blocks of 64.
TERN_INLINE int32_t group_sum(const TernaryArgs& a, int64_t token, int64_t col_begin, int64_t cols) {
  const int32_t* block = a.block_sums + token * (a.k_padded / kColumnPad) + col_begin / kColumnPad;
  int32_t sum = 0;
  for (int64_t i = 0; i < cols / kColumnPad; ++i) sum += block[i];
  return sum;
}

/// One panel x T rows of q, epilogue included; a token is kPlanes rows (2: its high and its low bytes).
/// `token` counts tokens. A matrix without groups is one group of all columns.
template <int T, int kPlanes>
void block(const TernaryArgs& a, int64_t panel, int64_t token) noexcept {
  constexpr int kTokens = T / kPlanes;
  const bool grouped = a.scale_kind == WeightScale::kGroup;
  const int64_t group_cols = grouped ? a.group_cols : a.k_padded;
  const int64_t groups = (a.k_padded + group_cols - 1) / group_cols;
  const int64_t row = panel * kPanelRows, row_of_q = token * kPlanes;
  __m256 y[kTokens][2];
  for (int t = 0; t < kTokens; ++t) y[t][0] = y[t][1] = _mm256_setzero_ps();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t col = g * group_cols, cols = min_i64(group_cols, a.k_padded - col);
    const uint8_t* w = a.weights + (panel * a.k_padded + col) * (kLineBytes / kLineCols);
    __m256i dot[T][2];
    tile_dot<T>(w, a.q + row_of_q * a.k_padded + col, a.k_padded, cols / kLineCols, dot);
    for (int t = 0; t < T; ++t) {
      const __m256i q_sum =
          _mm256_set1_epi32(grouped ? group_sum(a, row_of_q + t, col, cols) : a.sums[row_of_q + t]);
      for (int half = 0; half < 2; ++half) dot[t][half] = _mm256_sub_epi32(dot[t][half], q_sum);
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int half = 0; half < 2; ++half) {
        __m256i sum = dot[kPlanes * t][half];
        if constexpr (kPlanes == 2) sum = _mm256_add_epi32(_mm256_slli_epi32(sum, 8), dot[2 * t + 1][half]);
        const __m256 s = _mm256_cvtepi32_ps(sum);
        const float* scale = a.w_scale + (panel * groups + g) * kPanelRows + 8 * half;
        y[t][half] = grouped ? _mm256_fmadd_ps(s, _mm256_loadu_ps(scale), y[t][half]) : s;
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    const __m256 act_scale = _mm256_set1_ps(a.act_scale[token + t]);
    for (int half = 0; half < 2; ++half) {
      __m256 out = _mm256_div_ps(y[t][half], act_scale);
      if (a.scale_kind == WeightScale::kRow)
        out = _mm256_mul_ps(out, _mm256_loadu_ps(a.w_scale + row + 8 * half));
      if (a.scale_kind == WeightScale::kTensor) out = _mm256_mul_ps(out, _mm256_set1_ps(a.w_scale[0]));
      store(a.y + (token + t) * a.y_stride + row + 8 * half, a.rows - row - 8 * half, out);
    }
  }
}

using BlockFn = void (*)(const TernaryArgs&, int64_t panel, int64_t token) noexcept;

/// Tokens [begin, end) of a panel, cut into tiles of nearly equal height: 5 tokens are 3 + 2, not 4 + 1.
/// blocks[i] takes i + 1 tokens.
void tiles(const TernaryArgs& a, int64_t panel, const BlockFn* blocks, int64_t tile_tokens, int64_t begin,
           int64_t end) noexcept {
  const int64_t count = (end - begin + tile_tokens - 1) / tile_tokens;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = begin + (end - begin) * i / count, last = begin + (end - begin) * (i + 1) / count;
    blocks[last - first - 1](a, panel, first);
  }
}

constexpr BlockFn kBlocks[kTileTokens] = {block<1, 1>, block<2, 1>, block<3, 1>, block<4, 1>};
constexpr BlockFn kBlocks16[kTileTokens / 2] = {block<2, 2>, block<4, 2>};

void product(const TernaryArgs& a, const BlockFn* blocks, int64_t planes) noexcept {
  const int64_t tile = kTileTokens / planes;
  const int64_t pass = max_i64(tile, kPassBytes / (planes * a.k_padded));
  for (int64_t begin = 0; begin < a.tokens; begin += pass)
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
      tiles(a, panel, blocks, tile, begin, min_i64(begin + pass, a.tokens));
}

}  // namespace

void ternary(const TernaryArgs& a) noexcept { product(a, kBlocks, 1); }
void ternary16(const TernaryArgs& a) noexcept { product(a, kBlocks16, 2); }

}  // namespace tern::avx2
