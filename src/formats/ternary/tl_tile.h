// SPDX-License-Identifier: MIT
// What TL1 and TL2 share: two trits in a nibble, and what is said where the tile sizes are unknown or wrong.
#pragma once

#include <array>

#include "formats/ternary/layouts.h"

namespace tern {

/// The four trits of a byte of two pairs, the high nibble first; a pair is 3 t0 + t1 + 4. 9 to 15 stand for
/// nothing.
inline constexpr auto kTwoPairs = [] {
  std::array<std::array<int8_t, 4>, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    const int high = byte >> 4, low = byte & 15;
    table[byte] = {static_cast<int8_t>(high / 3 - 1), static_cast<int8_t>(high % 3 - 1),
                   static_cast<int8_t>(low / 3 - 1), static_cast<int8_t>(low % 3 - 1)};
  }
  return table;
}();

/// Returns false for a byte with an undefined pair.
inline bool unpack_two_pairs(uint8_t byte, int8_t* trits) {
  std::memcpy(trits, kTwoPairs[byte].data(), 4);
  return byte >> 4 < 9 && (byte & 15) < 9;
}

inline unsigned pack_pair(const int8_t* trits) { return static_cast<unsigned>(3 * trits[0] + trits[1] + 4); }

inline Status check_tile_is_known(DType dtype, uint64_t rows, uint64_t cols, const TlTile& tile) {
  if (tile.rows > 0 && tile.cols > 0 && tile.block_rows > 0) return {};
  return make_error(
      ErrorCode::kUnsupported,
      "{} of {} x {} weights cannot be decoded without the tile sizes it was built with, which are not "
      "in the file: name the model or bitnet.cpp's kernel_config.ini with --tl-config",
      dtype_name(dtype), rows, cols);
}

inline Error tile_does_not_fit(DType dtype, uint64_t rows, uint64_t cols, const TlTile& tile) {
  return make_error(
      ErrorCode::kUnsupported,
      "{} of {} x {} weights cannot have tiles of {} x {} with blocks of {} rows: --tl-config is of "
      "another model or type",
      dtype_name(dtype), rows, cols, tile.rows, tile.cols, tile.block_rows);
}

}  // namespace tern
