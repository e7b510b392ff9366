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
#include <array>

#include "formats/gguf.h"
#include "formats/ternary/layouts.h"
#include "formats/ternary/tl_tile.h"

namespace tern::tl2 {
namespace {

constexpr uint64_t kTrailerBytes = 32;
constexpr int kMaxMagnitude = 13;

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

/// Calls visit(first column, offset of the nibbles' byte, offset of the signs' u16, bit of the first sign
/// there) for every two threes of a row, in order of the columns; the second three's sign is two bits lower.
/// Stops at false.
template <class Visit>
bool visit_threes(const Sections& s, const TlTile& tile, uint64_t row, Visit visit) {
  const uint64_t r = row % tile.rows, r2 = r % 32, tiles = s.threes_cols / tile.cols;
  uint64_t col = 0;
  for (uint64_t t = 0; t < tiles; ++t) {
    const uint64_t block = (row / tile.rows * tiles + t) * (tile.rows / 32) + r / 32;
    uint64_t byte = block * (tile.cols / 6) * 32 + swapped(r2);
    for (uint64_t word = 0; word < tile.cols / 24; ++word) {
      const uint64_t sign = s.signs_at() + 2 * ((block * (tile.cols / 24) + word) * 16 + r2 % 16);
      for (unsigned two = 0; two < 4; ++two, col += 6, byte += 32) {
        if (!visit(col, byte, sign, static_cast<unsigned>(15 - 4 * two - r2 / 16))) return false;
      }
    }
  }
  return true;
}

/// Calls visit(column, byte offset) for every four columns of pairs, columns counted from the first of them.
template <class Visit>
bool visit_pairs(const Sections& s, const TlTile& tile, uint64_t row, Visit visit) {
  const uint64_t r = row % tile.rows;
  for (uint64_t run = 0; run < s.pairs_cols / 32; ++run) {
    const uint64_t block = (row / tile.rows * (s.pairs_cols / 32) + run) * (tile.rows / 32) + r / 32;
    for (uint64_t four = 0; four < 8; ++four) {
      if (!visit(32 * run + 4 * four, s.pairs_at() + (block * 8 + four) * 32 + swapped(r % 32))) return false;
    }
  }
  return true;
}

/// Three trits by sign and magnitude: 16 + magnitude for negative ones. Magnitudes 14 and 15 and a negative
/// zero stand for nothing.
constexpr auto kThrees = [] {
  std::array<std::array<int8_t, 3>, 32> table{};
  for (int i = 0; i < 32; ++i) {
    const int magnitude = i % 16 > kMaxMagnitude ? 0 : i % 16, value = (i < 16 ? magnitude : -magnitude) + 13;
    table[i] = {static_cast<int8_t>(value / 9 - 1), static_cast<int8_t>(value / 3 % 3 - 1),
                static_cast<int8_t>(value % 3 - 1)};
  }
  return table;
}();

constexpr unsigned kUndefinedThrees = 1u << 14 | 1u << 15 | 1u << 16 | 1u << 30 | 1u << 31;

uint16_t load_signs(const uint8_t* from) {
  uint16_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// One row. Returns the offset of an undefined byte, or the end of the sections.
uint64_t decode_row(const uint8_t* base, const Sections& s, const TlTile& tile, uint64_t row, int8_t* trits) {
  uint64_t undefined = s.end();
  const bool threes = visit_threes(s, tile, row, [&](uint64_t col, uint64_t at, uint64_t sign, unsigned bit) {
    const unsigned signs = load_signs(base + sign);
    const unsigned first = base[at] >> 4 | (signs >> bit & 1u) << 4;
    const unsigned second = (base[at] & 15u) | (signs >> (bit - 2) & 1u) << 4;
    std::memcpy(trits + col, kThrees[first].data(), 3);
    std::memcpy(trits + col + 3, kThrees[second].data(), 3);
    if (((kUndefinedThrees >> first | kUndefinedThrees >> second) & 1u) == 0) return true;
    undefined = at;
    return false;
  });
  if (!threes) return undefined;
  visit_pairs(s, tile, row, [&](uint64_t col, uint64_t at) {
    if (unpack_two_pairs(base[at], trits + s.threes_cols + col)) return true;
    undefined = at;
    return false;
  });
  return undefined;
}

void encode_row(const int8_t* trits, const Sections& s, const TlTile& tile, uint64_t row, uint8_t* base) {
  visit_threes(s, tile, row, [&](uint64_t col, uint64_t at, uint64_t sign, unsigned bit) {
    for (unsigned i = 0; i < 2; ++i, bit -= 2) {
      const int8_t* t = trits + col + 3 * i;
      const int value = 9 * t[0] + 3 * t[1] + t[2];
      base[at] |= static_cast<uint8_t>((value < 0 ? -value : value) << (4 - 4 * i));
      base[sign + bit / 8] |= static_cast<uint8_t>((value < 0) << bit % 8);
    }
    return true;
  });
  visit_pairs(s, tile, row, [&](uint64_t col, uint64_t at) {
    const int8_t* t = trits + s.threes_cols + col;
    base[at] = static_cast<uint8_t>(pack_pair(t) << 4 | pack_pair(t + 2));
    return true;
  });
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
