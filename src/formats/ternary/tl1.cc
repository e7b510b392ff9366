// SPDX-License-Identifier: MIT
// TL1 (bitnet.cpp, tables for ARM): rows*cols/4 bytes of nibbles, then a trailer of 32 bytes whose first four
// are the tensor's f32 scale. A nibble is 3 t_even + t_odd + 4 of two neighbouring columns (9 to 15 are
// undefined); a byte holds four columns of one row, the first two in its high nibble. Bytes lie in tiles
// whose sizes are not in the file (LayoutChoice::tl_tile). From the outermost: tiles of `rows`, tiles of
// `cols`, blocks of `block_rows` rows, runs of 256 / block_rows columns, sixteens of rows, fours of columns,
// the row in its sixteen. Source: FORMATS.md A.5.
#include "formats/ternary/layouts.h"
#include "formats/ternary/tl_tile.h"

namespace tern::tl1 {
namespace {

constexpr uint64_t kTrailerBytes = 32;

Status check_shape(uint64_t rows, uint64_t cols, const TlTile& tile, uint64_t found_bytes) {
  TERN_TRY(check_size(DType::kTL1, rows, cols, rows, cols / 4, kTrailerBytes, found_bytes));
  TERN_TRY(check_tile_is_known(DType::kTL1, rows, cols, tile));
  const bool is_sound = (tile.block_rows == 32 || tile.block_rows == 64) &&
                        tile.rows % tile.block_rows == 0 && tile.cols % (256 / tile.block_rows) == 0;
  if (!is_sound || rows % tile.rows != 0 || cols % tile.cols != 0) {
    return tile_does_not_fit(DType::kTL1, rows, cols, tile);
  }
  return {};
}

/// Calls visit(column, byte offset) for every four columns of a row, in order of the columns; stops at false.
template <class Visit>
bool visit_row(uint64_t cols, const TlTile& tile, uint64_t row, Visit visit) {
  const uint64_t run_cols = 256 / tile.block_rows;
  const uint64_t r = row % tile.rows, in_block = r % tile.block_rows;
  const uint64_t tiles = cols / tile.cols, blocks = tile.rows / tile.block_rows, runs = tile.cols / run_cols;
  uint64_t col = 0;
  for (uint64_t t = 0; t < tiles; ++t) {
    const uint64_t block = (row / tile.rows * tiles + t) * blocks + r / tile.block_rows;
    for (uint64_t run = 0; run < runs; ++run) {
      const uint64_t sixteen = (block * runs + run) * (tile.block_rows / 16) + in_block / 16;
      uint64_t at = sixteen * (run_cols / 4) * 16 + in_block % 16;
      for (uint64_t four = 0; four < run_cols / 4; ++four, col += 4, at += 16) {
        if (!visit(col, at)) return false;
      }
    }
  }
  return true;
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice layout, int8_t* trits, float* scales) {
  TERN_TRY(check_shape(rows, cols, layout.tl_tile, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  const uint8_t* base = as_u8(bytes);
  for (uint64_t row = row_begin; row < row_begin + row_count; ++row, trits += cols) {
    uint64_t undefined = 0;
    const bool defined = visit_row(cols, layout.tl_tile, row, [&](uint64_t col, uint64_t at) {
      undefined = at;
      return unpack_two_pairs(base[at], trits + col);
    });
    if (!defined) return undefined_byte(DType::kTL1, undefined, base[undefined]);
    std::memcpy(scales++, base + bytes.size() - kTrailerBytes, sizeof(float));
  }
  return {};
}

Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, LayoutChoice layout,
              std::span<std::byte> bytes) {
  TERN_TRY(check_shape(rows, cols, layout.tl_tile, bytes.size()));
  TERN_TRY(check_trits(DType::kTL1, trits, rows, cols, {}));
  std::memset(bytes.data(), 0, bytes.size());
  uint8_t* base = as_u8(bytes);
  for (uint64_t row = 0; row < rows; ++row, trits += cols) {
    visit_row(cols, layout.tl_tile, row, [&](uint64_t col, uint64_t at) {
      base[at] = static_cast<uint8_t>(pack_pair(trits + col) << 4 | pack_pair(trits + col + 2));
      return true;
    });
  }
  if (rows > 0) std::memcpy(base + bytes.size() - kTrailerBytes, scales, sizeof(float));
  return {};
}

}  // namespace tern::tl1
