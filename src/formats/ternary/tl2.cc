// SPDX-License-Identifier: MIT
// TL2 (bitnet.cpp, tables for x86). The first K3 = cols / tile.cols * tile.cols columns are stored in threes,
// the other K2 in pairs:
//
//   rows*K3/6 bytes    magnitudes: nibble |v| of v = 9 a + 3 b + c, two threes a byte, the first one high
//   rows*K3/24 bytes   signs: one bit per three, 1 = negative, in little-endian u16 of 16 threes
//   rows*K2/4 bytes    pairs, as in TL1
//   fill               to a size that upstream computes as if K2 were 256, then to a multiple of 32
//   32 bytes           the f32 scale and 28 bytes without a meaning
//
// Nibbles 14 and 15, pairs of 9 to 15, and a zero with a sign are undefined. Bytes of 32 rows stand side by
// side, their middle eights swapped. Tile sizes are not in the file (LayoutChoice::tl_tile). Source:
// FORMATS.md A.6.
#include "formats/gguf.h"
#include "formats/ternary/layouts.h"
#include "formats/ternary/tl_tile.h"

namespace tern::tl2 {
namespace {

constexpr uint64_t kTrailerBytes = 32;
constexpr unsigned kMaxMagnitude = 13;

/// Sizes of the three sections, and where they begin.
struct Sections {
  uint64_t rows, cols, threes_cols, pairs_cols;
  uint64_t signs_at() const { return rows * threes_cols / 6; }
  uint64_t pairs_at() const { return signs_at() + rows * threes_cols / 24; }
  uint64_t end() const { return pairs_at() + rows * pairs_cols / 4; }
};

Result<Sections> sections(uint64_t rows, uint64_t cols, const TlTile& tile, uint64_t found_bytes) {
  auto expected = tensor_byte_size(DType::kTL2, rows, cols);
  if (!expected.ok()) return std::move(expected).error();
  TERN_TRY(check_size(DType::kTL2, rows, cols, *expected, 1, 0, found_bytes));
  TERN_TRY(check_tile_is_known(DType::kTL2, rows, cols, tile));
  const Sections s{rows, cols, cols / tile.cols * tile.cols, cols % tile.cols};
  const bool is_sound = tile.block_rows == 32 && tile.rows % 32 == 0 && tile.cols % 24 == 0;
  if (!is_sound || rows % tile.rows != 0 || s.pairs_cols % 32 != 0 || s.end() + kTrailerBytes > found_bytes) {
    return tile_does_not_fit(DType::kTL2, rows, cols, tile);
  }
  return s;
}

/// The place of a row in its run of 32 bytes.
constexpr uint64_t swapped(uint64_t x) {
  return 8 * (x / 8 % 4 == 1 ? 2 : x / 8 % 4 == 2 ? 1 : x / 8) + x % 8;
}

/// One three: a nibble and a bit.
struct ThreePlace {
  uint64_t byte, sign_byte;
  unsigned shift, sign_shift;
};

ThreePlace three_place(const Sections& s, const TlTile& tile, uint64_t row, uint64_t col) {
  const uint64_t r = row % tile.rows, r2 = r % 32, c = col % tile.cols;
  const uint64_t block =
      (row / tile.rows * (s.threes_cols / tile.cols) + col / tile.cols) * (tile.rows / 32) + r / 32;
  const uint64_t bit = 15 - (2 * (c % 24 / 3) + r2 / 16);
  return {(block * (tile.cols / 6) + c / 6) * 32 + swapped(r2),
          s.signs_at() + 2 * ((block * (tile.cols / 24) + c / 24) * 16 + r2 % 16) + bit / 8,
          c % 6 < 3 ? 4u : 0u, static_cast<unsigned>(bit % 8)};
}

/// The byte of four columns from `col`, counted from the first column of the pairs.
uint64_t pairs_place(const Sections& s, const TlTile& tile, uint64_t row, uint64_t col) {
  const uint64_t r = row % tile.rows;
  const uint64_t block = (row / tile.rows * (s.pairs_cols / 32) + col / 32) * (tile.rows / 32) + r / 32;
  return s.pairs_at() + (block * 8 + col % 32 / 4) * 32 + swapped(r % 32);
}

/// One row. Returns the offset of an undefined byte, or the size of the sections.
uint64_t decode_row(const uint8_t* base, const Sections& s, const TlTile& tile, uint64_t row, int8_t* trits) {
  for (uint64_t col = 0; col < s.threes_cols; col += 3) {
    const ThreePlace at = three_place(s, tile, row, col);
    const unsigned magnitude = base[at.byte] >> at.shift & 15u;
    const bool negative = (base[at.sign_byte] >> at.sign_shift & 1u) != 0;
    if (magnitude > kMaxMagnitude) return at.byte;
    if (negative && magnitude == 0) return at.sign_byte;
    const unsigned digits = negative ? kMaxMagnitude - magnitude : kMaxMagnitude + magnitude;
    trits[col] = static_cast<int8_t>(static_cast<int>(digits / 9) - 1);
    trits[col + 1] = static_cast<int8_t>(static_cast<int>(digits / 3 % 3) - 1);
    trits[col + 2] = static_cast<int8_t>(static_cast<int>(digits % 3) - 1);
  }
  trits += s.threes_cols;
  for (uint64_t col = 0; col < s.pairs_cols; col += 4) {
    const uint64_t at = pairs_place(s, tile, row, col);
    if (!unpack_pair(base[at] >> 4, trits + col) || !unpack_pair(base[at] & 15, trits + col + 2)) return at;
  }
  return s.end();
}

void encode_row(const int8_t* trits, const Sections& s, const TlTile& tile, uint64_t row, uint8_t* base) {
  for (uint64_t col = 0; col < s.threes_cols; col += 3) {
    const ThreePlace at = three_place(s, tile, row, col);
    const int value = 9 * trits[col] + 3 * trits[col + 1] + trits[col + 2];
    base[at.byte] |= static_cast<uint8_t>((value < 0 ? -value : value) << at.shift);
    base[at.sign_byte] |= static_cast<uint8_t>((value < 0) << at.sign_shift);
  }
  trits += s.threes_cols;
  for (uint64_t col = 0; col < s.pairs_cols; col += 4) {
    base[pairs_place(s, tile, row, col)] =
        static_cast<uint8_t>(pack_pair(trits + col) << 4 | pack_pair(trits + col + 2));
  }
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice layout, int8_t* trits, float* scales) {
  TERN_TRY_ASSIGN(const Sections s, sections(rows, cols, layout.tl_tile, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  const uint8_t* base = as_u8(bytes);
  for (uint64_t row = row_begin; row < row_begin + row_count; ++row, trits += cols) {
    const uint64_t at = decode_row(base, s, layout.tl_tile, row, trits);
    if (at != s.end()) return undefined_byte(DType::kTL2, at, base[at]);
    std::memcpy(scales++, base + bytes.size() - kTrailerBytes, sizeof(float));
  }
  return {};
}

Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, LayoutChoice layout,
              std::span<std::byte> bytes) {
  TERN_TRY_ASSIGN(const Sections s, sections(rows, cols, layout.tl_tile, bytes.size()));
  TERN_TRY(check_trits(DType::kTL2, trits, rows, cols, {}));
  std::memset(bytes.data(), 0, bytes.size());
  for (uint64_t row = 0; row < rows; ++row)
    encode_row(trits + row * cols, s, layout.tl_tile, row, as_u8(bytes));
  if (rows > 0) std::memcpy(as_u8(bytes) + bytes.size() - kTrailerBytes, scales, sizeof(float));
  return {};
}

}  // namespace tern::tl2
