// SPDX-License-Identifier: MIT
// What decoding needs beyond a tensor's bytes and shape, where the container does not say it: the byte order
// of I2_S and the tile sizes of TL1 and TL2. Codecs of other types ignore it.
#pragma once

#include <cstdint>

namespace tern {

/// The three byte orders of I2_S; nothing in foreign files says which (FORMATS.md A.4).
enum class I2sOrder : uint8_t { kX86_128, kArm_64, kX86_1x4 };

/// The tiles of one TL1 or TL2 matrix, which bitnet.cpp chooses when it is built (FORMATS.md A.5, A.6). All
/// zero = unknown: decode refuses.
struct TlTile {
  uint32_t rows = 0;        // BM in bitnet.cpp's files
  uint32_t cols = 0;        // BK
  uint32_t block_rows = 0;  // bmm, or bm: 32 or 64 rows of a tile that are stored side by side

  bool operator==(const TlTile&) const = default;
};

struct LayoutChoice {
  constexpr LayoutChoice() = default;
  constexpr LayoutChoice(I2sOrder order)
      : i2s_order(order) {}                               // NOLINT: callers with I2_S only name the order
  constexpr LayoutChoice(TlTile tile) : tl_tile(tile) {}  // NOLINT

  I2sOrder i2s_order = I2sOrder::kX86_128;
  TlTile tl_tile;
};

}  // namespace tern
