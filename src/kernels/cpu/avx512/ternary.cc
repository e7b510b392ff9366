// SPDX-License-Identifier: MIT
// Ternary products from layout T2 with vpdpbusd: one dword lane per feature, so no horizontal sums.
// Few tokens: a stream over the weights that leaves the 2-bit fields where they are in the byte (no shifts).
// More tokens: tiles of 2 panels x up to 12 tokens that unpack each field once. Called through
// KernelTable::ternary.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {
namespace {

constexpr int64_t kStreamTokens = 4;  // rows of q; up to here 4 accumulators per row fit beside each other
constexpr int64_t kTileTokens = 12;   // 2 panels x 12 rows = 24 accumulators of the 32 registers
// Activations of one pass over the panels; they are read once per panel pair and should stay in half of a 1
// MB L2.
constexpr int64_t kPassBytes = 512 * 1024;
// 2 - 2.5 KB was best on a Sapphire Rapids; a Zen 5 streams as fast with any distance from 0 to 4 KB (Nov
// 2026).
constexpr int64_t kPrefetchBytes = 2304;

// Field f stays scaled by 4^f in the streaming loop. The largest is f = 3: a line adds at most 4 * (3*64) *
// 128 to a lane, so this many lines fit into int32; longer sums are folded in between.
constexpr int64_t kStreamLines = 21844;
static_assert(kStreamLines * 4 * (3 * 64) * 128 < (int64_t{1} << 31) && kStreamLines % 4 == 0);

TERN_INLINE __m512i broadcast4(const int8_t* q) {
  int32_t v;
  __builtin_memcpy(&v, q, sizeof v);
  return _mm512_set1_epi32(v);
}

TERN_INLINE void prefetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

/// dot[0][t] = sum(u*q[t]) of one panel over `lines` (a multiple of 4) lines. U lines are in flight.
template <int T, int U>
TERN_INLINE void stream_dot(const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines,
                            __m512i (&dot)[1][T]) {
  for (int t = 0; t < T; ++t) dot[0][t] = _mm512_setzero_si512();
  const __m512i field[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30),
                            _mm512_set1_epi8(static_cast<char>(0xc0))};
  while (lines > 0) {
    const int64_t part = min_i64(lines, kStreamLines);
    __m512i acc[U][T][4];
    for (int u = 0; u < U; ++u)
      for (int t = 0; t < T; ++t)
        for (int f = 0; f < 4; ++f) acc[u][t][f] = _mm512_setzero_si512();
    for (int64_t i = 0; i < part; i += U, w += U * kLineBytes, q += U * kLineCols)
      for (int u = 0; u < U; ++u) {
        prefetch(w + u * kLineBytes + kPrefetchBytes);
        const __m512i line = _mm512_loadu_si512(w + u * kLineBytes);
        for (int f = 0; f < 4; ++f) {
          const __m512i codes = _mm512_and_si512(line, field[f]);
          for (int t = 0; t < T; ++t)
            acc[u][t][f] = _mm512_dpbusd_epi32(acc[u][t][f], codes,
                                               broadcast4(q + t * q_stride + u * kLineCols + 4 * f));
        }
      }
    for (int u = 0; u < U; ++u)
      for (int t = 0; t < T; ++t) {  // every lane of acc[f] is a multiple of 4^f: the shift is exact
        const __m512i low = _mm512_add_epi32(acc[u][t][0], _mm512_srai_epi32(acc[u][t][1], 2));
        const __m512i high =
            _mm512_add_epi32(_mm512_srai_epi32(acc[u][t][2], 4), _mm512_srai_epi32(acc[u][t][3], 6));
        dot[0][t] = _mm512_add_epi32(dot[0][t], _mm512_add_epi32(low, high));
      }
    lines -= part;
  }
}

/// dot[p][t] = sum(u*q[t]) of P panels over `lines` lines; |sum| < 2^31 by the bound in kernel_table.h.
template <int P, int T>
TERN_INLINE void tile_dot(const uint8_t* w, int64_t panel_bytes, const int8_t* q, int64_t q_stride,
                          int64_t lines, __m512i (&dot)[P][T]) {
  const __m512i three = _mm512_set1_epi8(3);
  __m512i acc[P][T];
  for (int p = 0; p < P; ++p)
    for (int t = 0; t < T; ++t) acc[p][t] = _mm512_setzero_si512();
  for (int64_t i = 0; i < lines; ++i, w += kLineBytes, q += kLineCols) {
    __m512i line[P];
    for (int p = 0; p < P; ++p) {
      line[p] = _mm512_loadu_si512(w + p * panel_bytes);
      prefetch(w + p * panel_bytes + kPrefetchBytes);
    }
    for (int f = 0; f < 4; ++f) {
      __m512i codes[P];
      for (int p = 0; p < P; ++p) {
        codes[p] = _mm512_and_si512(line[p], three);
        line[p] = _mm512_srli_epi16(line[p], 2);
      }
      for (int t = 0; t < T; ++t) {
        const __m512i x = broadcast4(q + t * q_stride + 4 * f);
        for (int p = 0; p < P; ++p) acc[p][t] = _mm512_dpbusd_epi32(acc[p][t], codes[p], x);
      }
    }
  }
  for (int p = 0; p < P; ++p)
    for (int t = 0; t < T; ++t) dot[p][t] = acc[p][t];
}

/// Sum of q over the columns of a group, from the sums of its blocks of 64.
TERN_INLINE int32_t group_sum(const TernaryArgs& a, int64_t token, int64_t col_begin, int64_t cols) {
  const int32_t* block = a.block_sums + token * (a.k_padded / kColumnPad) + col_begin / kColumnPad;
  int32_t sum = 0;
  for (int64_t i = 0; i < cols / kColumnPad; ++i) sum += block[i];
  return sum;
}

/// P panels x T rows of q, epilogue included; a token is kPlanes rows (2: its high and its low bytes).
/// `token` counts tokens. A matrix without groups is one group of all columns.
template <int P, int T, bool kStream, int kPlanes>
void block(const TernaryArgs& a, int64_t panel, int64_t token) noexcept {
  constexpr int kTokens = T / kPlanes;
  const bool grouped = a.scale_kind == WeightScale::kGroup;
  const int64_t group_cols = grouped ? a.group_cols : a.k_padded;
  const int64_t groups = (a.k_padded + group_cols - 1) / group_cols;
  const int64_t panel_bytes = a.k_padded * (kLineBytes / kLineCols);
  const int64_t row_of_q = token * kPlanes;
  __m512 y[P][kTokens];
  for (int p = 0; p < P; ++p)
    for (int t = 0; t < kTokens; ++t) y[p][t] = _mm512_setzero_ps();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t col = g * group_cols, cols = min_i64(group_cols, a.k_padded - col);
    const uint8_t* w = a.weights + panel * panel_bytes + col * (kLineBytes / kLineCols);
    const int8_t* q = a.q + row_of_q * a.k_padded + col;
    __m512i dot[P][T];
    if constexpr (kStream)
      stream_dot<T, T == 1 ? 2 : 1>(w, q, a.k_padded, cols / kLineCols, dot);
    else
      tile_dot<P, T>(w, panel_bytes, q, a.k_padded, cols / kLineCols, dot);
    for (int t = 0; t < T; ++t) {
      const __m512i q_sum =
          _mm512_set1_epi32(grouped ? group_sum(a, row_of_q + t, col, cols) : a.sums[row_of_q + t]);
      for (int p = 0; p < P; ++p) dot[p][t] = _mm512_sub_epi32(dot[p][t], q_sum);
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int p = 0; p < P; ++p) {
        __m512i sum = dot[p][kPlanes * t];
        if constexpr (kPlanes == 2) sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 8), dot[p][2 * t + 1]);
        const __m512 s = _mm512_cvtepi32_ps(sum);
        y[p][t] = grouped
                      ? _mm512_fmadd_ps(
                            s, _mm512_loadu_ps(a.w_scale + ((panel + p) * groups + g) * kPanelRows), y[p][t])
                      : s;
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    const int64_t row = (panel + p) * kPanelRows;
    const __mmask16 lanes = first_lanes(a.rows - row);
    const __m512 w_scale =
        a.scale_kind == WeightScale::kRow ? _mm512_loadu_ps(a.w_scale + row) : _mm512_set1_ps(a.w_scale[0]);
    for (int t = 0; t < kTokens; ++t) {
      __m512 out = _mm512_div_ps(y[p][t], _mm512_set1_ps(a.act_scale[token + t]));
      if (!grouped) out = _mm512_mul_ps(out, w_scale);
      _mm512_mask_storeu_ps(a.y + (token + t) * a.y_stride + row, lanes, out);
    }
  }
}

using BlockFn = void (*)(const TernaryArgs&, int64_t panel, int64_t token) noexcept;

/// The blocks for 1, 2, ... tokens.
template <int kPlanes>
struct Blocks;
template <>
struct Blocks<1> {
  static constexpr BlockFn kStream[] = {block<1, 1, true, 1>, block<1, 2, true, 1>, block<1, 3, true, 1>,
                                        block<1, 4, true, 1>};
  static constexpr BlockFn kOnePanel[] = {
      block<1, 1, false, 1>, block<1, 2, false, 1>,  block<1, 3, false, 1>,  block<1, 4, false, 1>,
      block<1, 5, false, 1>, block<1, 6, false, 1>,  block<1, 7, false, 1>,  block<1, 8, false, 1>,
      block<1, 9, false, 1>, block<1, 10, false, 1>, block<1, 11, false, 1>, block<1, 12, false, 1>};
  static constexpr BlockFn kTwoPanels[] = {
      block<2, 1, false, 1>, block<2, 2, false, 1>,  block<2, 3, false, 1>,  block<2, 4, false, 1>,
      block<2, 5, false, 1>, block<2, 6, false, 1>,  block<2, 7, false, 1>,  block<2, 8, false, 1>,
      block<2, 9, false, 1>, block<2, 10, false, 1>, block<2, 11, false, 1>, block<2, 12, false, 1>};
};
template <>
struct Blocks<2> {
  static constexpr BlockFn kStream[] = {block<1, 2, true, 2>, block<1, 4, true, 2>};
  static constexpr BlockFn kOnePanel[] = {block<1, 2, false, 2>,  block<1, 4, false, 2>,
                                          block<1, 6, false, 2>,  block<1, 8, false, 2>,
                                          block<1, 10, false, 2>, block<1, 12, false, 2>};
  static constexpr BlockFn kTwoPanels[] = {block<2, 2, false, 2>,  block<2, 4, false, 2>,
                                           block<2, 6, false, 2>,  block<2, 8, false, 2>,
                                           block<2, 10, false, 2>, block<2, 12, false, 2>};
};

/// Tokens [begin, end) of one or two panels, cut into tiles of nearly equal height: 13 tokens are 7 + 6, not
/// 12 + 1.
void tiles(const TernaryArgs& a, int64_t panel, const BlockFn* blocks, int64_t tile_tokens, int64_t begin,
           int64_t end) noexcept {
  const int64_t count = (end - begin + tile_tokens - 1) / tile_tokens;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = begin + (end - begin) * i / count, last = begin + (end - begin) * (i + 1) / count;
    blocks[last - first - 1](a, panel, first);
  }
}

template <int kPlanes>
void product(const TernaryArgs& a) noexcept {
  if (a.tokens <= 0) return;
  if (a.tokens <= kStreamTokens / kPlanes) {
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
      Blocks<kPlanes>::kStream[a.tokens - 1](a, panel, 0);
    return;
  }
  constexpr int64_t kTile = kTileTokens / kPlanes;
  const int64_t pass = max_i64(kTile, kPassBytes / (kPlanes * a.k_padded));
  for (int64_t begin = 0; begin < a.tokens; begin += pass) {
    const int64_t end = min_i64(begin + pass, a.tokens);
    int64_t panel = a.panel_begin;
    for (; panel + 2 <= a.panel_end; panel += 2)
      tiles(a, panel, Blocks<kPlanes>::kTwoPanels, kTile, begin, end);
    if (panel < a.panel_end) tiles(a, panel, Blocks<kPlanes>::kOnePanel, kTile, begin, end);
  }
}

}  // namespace

void ternary(const TernaryArgs& a) noexcept { product<1>(a); }
void ternary16(const TernaryArgs& a) noexcept { product<2>(a); }

}  // namespace tern::avx512
