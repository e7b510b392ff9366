// SPDX-License-Identifier: MIT
// Ternary products from layout T2 with sdot: a lane takes the 4 columns of a field at once, the activations
// of a line are one register of which sdot picks a dword. Called through KernelTable::ternary and ternary16.
// Compiled for ARMv8.2-A with dot product; the registry knows.
#include "kernels/cpu/neon/ternary_detail.h"

namespace tern::neon {
namespace {

constexpr int kTileRows = 5;  // of q: 20 accumulators, 5 activation registers, 3 more of 32

// A single row leaves fields 1 and 2 where they are in the byte: products scaled by 4 and 16. A line adds at
// most 4 * (3*16) * 128 to a lane of field 2, so this many lines fit into int32; longer sums are folded in
// between.
constexpr int64_t kStreamLines = 87380;
static_assert(kStreamLines * 4 * (3 * 16) * 128 < (int64_t{1} << 31) && kStreamLines % 4 == 0);

TERN_INLINE int8x16_t signed_codes(uint8x16_t codes) { return vreinterpretq_s8_u8(codes); }

TERN_INLINE void stream_dot(const uint8_t* w, const int8_t* q, int64_t lines,
                            int32x4_t (&sums)[1][kPanelRegisters]) {
  const uint8x16_t first = vdupq_n_u8(0x03), second = vdupq_n_u8(0x0c), third = vdupq_n_u8(0x30);
  for (int r = 0; r < kPanelRegisters; ++r) sums[0][r] = vdupq_n_s32(0);
  while (lines > 0) {
    const int64_t part = min_i64(lines, kStreamLines);
    int32x4_t acc[kPanelRegisters][3];  // scaled by 1, 4, 16
    TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) acc[r][0] = acc[r][1] = acc[r][2] = vdupq_n_s32(0);
    for (int64_t i = 0; i < part; ++i, w += kLineBytes, q += kLineCols) {
      const int8x16_t x = vld1q_s8(q);
      TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
        const uint8x16_t line = vld1q_u8(w + 16 * r);
        acc[r][0] = vdotq_laneq_s32(acc[r][0], signed_codes(vandq_u8(line, first)), x, 0);
        acc[r][1] = vdotq_laneq_s32(acc[r][1], signed_codes(vandq_u8(line, second)), x, 1);
        acc[r][2] = vdotq_laneq_s32(acc[r][2], signed_codes(vandq_u8(line, third)), x, 2);
        acc[r][0] = vdotq_laneq_s32(acc[r][0], signed_codes(vshrq_n_u8(line, 6)), x, 3);
      }
    }
    // Every lane is a multiple of its scale: the shifts are exact.
    TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
      const int32x4_t scaled = vsraq_n_s32(vshrq_n_s32(acc[r][1], 2), acc[r][2], 4);
      sums[0][r] = vaddq_s32(sums[0][r], vaddq_s32(acc[r][0], scaled));
    }
    lines -= part;
  }
}

template <int T>
TERN_INLINE void tile_dot(const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines,
                          int32x4_t (&sums)[T][kPanelRegisters]) {
  const uint8x16_t three = vdupq_n_u8(3);
  int32x4_t acc[T][kPanelRegisters];
  TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) acc[t][r] =
      vdupq_n_s32(0);
  for (int64_t i = 0; i < lines; ++i, w += kLineBytes, q += kLineCols) {
    int8x16_t x[T];
    TERN_UNROLL for (int t = 0; t < T; ++t) x[t] = vld1q_s8(q + t * q_stride);
    TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
      const uint8x16_t line = vld1q_u8(w + 16 * r);
      int8x16_t codes = signed_codes(vandq_u8(line, three));
      TERN_UNROLL for (int t = 0; t < T; ++t) acc[t][r] = vdotq_laneq_s32(acc[t][r], codes, x[t], 0);
      codes = signed_codes(vandq_u8(vshrq_n_u8(line, 2), three));
      TERN_UNROLL for (int t = 0; t < T; ++t) acc[t][r] = vdotq_laneq_s32(acc[t][r], codes, x[t], 1);
      codes = signed_codes(vandq_u8(vshrq_n_u8(line, 4), three));
      TERN_UNROLL for (int t = 0; t < T; ++t) acc[t][r] = vdotq_laneq_s32(acc[t][r], codes, x[t], 2);
      codes = signed_codes(vshrq_n_u8(line, 6));
      TERN_UNROLL for (int t = 0; t < T; ++t) acc[t][r] = vdotq_laneq_s32(acc[t][r], codes, x[t], 3);
    }
  }
  TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) sums[t][r] =
      acc[t][r];
}

template <int T, int kPlanes>
void block(const TernaryArgs& a, int64_t panel, int64_t token) noexcept {
  const auto dot = [](const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines, auto& sums) {
    if constexpr (T == 1)
      stream_dot(w, q, lines, sums);
    else
      tile_dot<T>(w, q, q_stride, lines, sums);
  };
  panel_block<T, kPlanes>(a, panel, token, dot);
}

constexpr BlockFn kBlocks[kTileRows] = {block<1, 1>, block<2, 1>, block<3, 1>, block<4, 1>, block<5, 1>};
constexpr BlockFn kBlocks16[kTileRows / 2] = {block<2, 2>, block<4, 2>};

}  // namespace

void ternary_dotprod(const TernaryArgs& args) noexcept { for_each_tile(args, kBlocks, kTileRows, 1); }
void ternary16_dotprod(const TernaryArgs& args) noexcept { for_each_tile(args, kBlocks16, kTileRows / 2, 2); }

}  // namespace tern::neon
