// SPDX-License-Identifier: MIT
// Ternary products from layout T2 for any ARMv8-A: widening multiply-accumulate into int16, widened to int32
// before it can overflow. Called through KernelTable::ternary and ternary16.
#include "kernels/cpu/neon/ternary_detail.h"

namespace tern::neon {
namespace {

constexpr int kTileRows = 2;  // of q: 16 int16 accumulators, 4 line, 2 activation registers of 32

// A code is at most 3 and |q| at most 128: 80 products, those of 20 lines, fit into an int16 lane.
constexpr int64_t kLinesInInt16 = 20;
static_assert(kLinesInInt16 * 4 * 3 * 128 <= 32767 && kLinesInInt16 % 4 == 0);

template <int T>
TERN_INLINE void tile_dot(const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines,
                          int32x4_t (&sums)[T][kPanelRegisters]) {
  const uint8x16_t three = vdupq_n_u8(3);
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kPanelRegisters; ++r) sums[t][r] = vdupq_n_s32(0);
  while (lines > 0) {
    const int64_t part = min_i64(lines, kLinesInInt16);
    int16x8_t acc[T][kPanelRegisters][2];  // features 4r, 4r+1 and 4r+2, 4r+3, 4 columns each
    TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r)
        acc[t][r][0] = acc[t][r][1] = vdupq_n_s16(0);
    for (int64_t i = 0; i < part; ++i, w += kLineBytes, q += kLineCols) {
      uint8x16_t line[kPanelRegisters];
      TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) line[r] = vld1q_u8(w + 16 * r);
      TERN_UNROLL for (int f = 0; f < 4; ++f) {
        int8x16_t x[T];  // 4 activations, four times
        TERN_UNROLL for (int t = 0; t < T; ++t) {
          int32_t four;
          __builtin_memcpy(&four, q + t * q_stride + 4 * f, sizeof four);
          x[t] = vreinterpretq_s8_s32(vdupq_n_s32(four));
        }
        TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) {
          const int8x16_t codes = vreinterpretq_s8_u8(vandq_u8(line[r], three));
          line[r] = vshrq_n_u8(line[r], 2);
          TERN_UNROLL for (int t = 0; t < T; ++t) {
            acc[t][r][0] = vmlal_s8(acc[t][r][0], vget_low_s8(codes), vget_low_s8(x[t]));
            acc[t][r][1] = vmlal_high_s8(acc[t][r][1], codes, x[t]);
          }
        }
      }
    }
    TERN_UNROLL for (int t = 0; t < T; ++t) TERN_UNROLL for (int r = 0; r < kPanelRegisters; ++r) sums[t][r] =
        vaddq_s32(sums[t][r], vpaddq_s32(vpaddlq_s16(acc[t][r][0]), vpaddlq_s16(acc[t][r][1])));
    lines -= part;
  }
}

template <int T, int kPlanes>
void block(const TernaryArgs& a, int64_t panel, int64_t token) noexcept {
  const auto dot = [](const uint8_t* w, const int8_t* q, int64_t q_stride, int64_t lines, auto& sums) {
    tile_dot<T>(w, q, q_stride, lines, sums);
  };
  panel_block<T, kPlanes>(a, panel, token, dot);
}

constexpr BlockFn kBlocks[kTileRows] = {block<1, 1>, block<2, 1>};
constexpr BlockFn kBlocks16[kTileRows / 2] = {block<2, 2>};

}  // namespace

void ternary(const TernaryArgs& args) noexcept { for_each_tile(args, kBlocks, kTileRows, 1); }
void ternary16(const TernaryArgs& args) noexcept { for_each_tile(args, kBlocks16, kTileRows / 2, 2); }

}  // namespace tern::neon
