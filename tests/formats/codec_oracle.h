// SPDX-License-Identifier: MIT
// The ternary layouts once more, for tests: one weight at a time, straight from the sentences of FORMATS.md
// A.3, A.4 and B.2, sharing nothing with src/formats/ternary. Also the sizes, the shapes worth trying, and a
// random generator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/ternary/codec.h"

namespace tern::test {

/// splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return next() % n; }
  /// Uniform in [-1, 1), 24 bits.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f; }

 private:
  uint64_t state_;
};

/// A layout with its byte order or tiles, and the smallest tensor that shows all of it.
struct Layout {
  DType dtype;
  LayoutChoice choice;
  uint64_t row_multiple;
  uint64_t col_multiple;
  std::string name() const {
    return fmt::format("{}_{}_{}_{}", dtype_name(dtype), static_cast<int>(choice.i2s_order), row_multiple,
                       col_multiple);
  }
  const TernaryCodec& codec() const { return *find_codec(dtype); }
  bool is_tiled() const { return dtype == DType::kTL1 || dtype == DType::kTL2; }
  /// I2_S in an order along the flattened matrix: any shape with enough weights will do.
  bool is_flat() const { return dtype == DType::kI2_S && choice.i2s_order != I2sOrder::kX86_1x4; }
};

inline const Layout kLayouts[] = {
    {DType::kI2_S, I2sOrder::kX86_128, 1, 128},
    {DType::kI2_S, I2sOrder::kArm_64, 1, 64},
    {DType::kI2_S, I2sOrder::kX86_1x4, 4, 1},
    {DType::kI2_S, I2sOrder::kX86_128, 8, 48},  // blocks straddle rows
    {DType::kI2_S, I2sOrder::kArm_64, 16, 20},
    {DType::kTL1, TlTile{64, 16, 32}, 64, 16},
    {DType::kTL1, TlTile{128, 12, 64}, 128, 12},
    {DType::kTL2, TlTile{32, 96, 32}, 32, 320},   // 288 columns of threes and 32 of pairs
    {DType::kTL2, TlTile{64, 144, 32}, 64, 288},  // no pairs
    {DType::kTQ1_0, {}, 1, 256},
    {DType::kTQ2_0, {}, 1, 256},
    {DType::kIQ1_BN, {}, 1, 64},
    {DType::kIQ2_BN, {}, 1, 64},
    {DType::kIQ2_BN_R4, {}, 4, 64},
    {DType::kQ1_0, {}, 1, 128},
    {DType::kQ2_0_G64, {}, 1, 64},
    {DType::kQ2_0_G128, {}, 1, 128},
    {DType::kPTQ1_0, {}, 1, 128},
    {DType::kMlx1, {}, 1, 32},
    {DType::kMlx2, {}, 1, 16},
    {DType::kHfU8, {}, 1, 1},
};

inline uint64_t oracle_size(DType dtype, uint64_t rows, uint64_t cols) {
  switch (dtype) {
    case DType::kI2_S:
    case DType::kTL1:
      return rows * cols / 4 + 32;
    case DType::kTL2:
      return ((cols - 256) * rows / 3 * 5 / 8 + 256 * rows / 2 * 4 / 8 + 31) / 32 * 32 + 32;
    case DType::kTQ1_0:
      return rows * (cols / 256) * 54;
    case DType::kTQ2_0:
      return rows * (cols / 256) * 66;
    case DType::kIQ1_BN:
      return rows * (2 + cols / 64 * 13);
    case DType::kIQ2_BN:
      return rows * (4 + cols / 64 * 16);
    case DType::kIQ2_BN_R4:
      return rows / 4 * (16 + cols);
    case DType::kPTQ1_0:
      return rows * (cols / 128) * 28;
    case DType::kMlx1:
      return rows * cols / 8;
    case DType::kMlx2:
      return rows * cols / 4;
    case DType::kQ1_0:
      return rows * (cols / 128) * 18;
    case DType::kQ2_0_G64:
      return rows * (cols / 64) * 18;
    case DType::kQ2_0_G128:
      return rows * (cols / 128) * 34;
    case DType::kHfU8:
      return (rows + 3) / 4 * cols;
    default:
      return 0;
  }
}

/// Where one weight lies: a byte of the tensor, and what to read there.
struct Place {
  uint64_t byte;
  enum Kind { kTwoBits, kOneBit, kBase3First, kBase3Last, kPair, kThree } kind;
  unsigned index;  // shift for bits; digit for base 3, counted from the most (First) or least significant one
                   // (Last); of the pair or the three
  unsigned digits;          // base 3: how many the byte holds. Pair and three: the shift of the nibble
  uint64_t sign_byte = 0;   // three
  unsigned sign_shift = 0;  // three
};

inline Place tl1_place(const TlTile& t, uint64_t cols, uint64_t m, uint64_t k) {
  const uint64_t by = 256 / t.block_rows;
  const uint64_t T = m / t.rows, r = m % t.rows, rb = r / t.block_rows, r2 = r % t.block_rows, r3 = r2 / 16,
                 r4 = r2 % 16;
  const uint64_t U = k / t.cols, c = k % t.cols, cb = c / by, c2 = c % by, c3 = c2 / 4, c4 = c2 % 4;
  const uint64_t run = ((T * (cols / t.cols) + U) * (t.rows / t.block_rows) + rb) * (t.cols / by) + cb;
  const uint64_t byte = ((run * (t.block_rows / 16) + r3) * (by / 4) + c3) * 16 + r4;
  return {byte, Place::kPair, static_cast<unsigned>(k % 2), c4 < 2 ? 4u : 0u};
}

inline Place tl2_place(const TlTile& t, uint64_t rows, uint64_t cols, uint64_t m, uint64_t k) {
  const auto P = [](uint64_t x) {
    constexpr uint64_t kSwap[] = {0, 2, 1, 3};
    return 8 * kSwap[x / 8] + x % 8;
  };
  const uint64_t K3 = cols / t.cols * t.cols, K2 = cols - K3;
  const uint64_t T = m / t.rows, r = m % t.rows, rb = r / 32, r2 = r % 32;
  if (k >= K3) {
    const uint64_t base = rows * K3 / 6 + rows * K3 / 24, c = (k - K3) % 32, U = (k - K3) / 32;
    const uint64_t byte = base + (((T * (K2 / 32) + U) * (t.rows / 32) + rb) * 8 + c / 4) * 32 + P(r2);
    return {byte, Place::kPair, static_cast<unsigned>(c % 2), c % 4 < 2 ? 4u : 0u};
  }
  const uint64_t U = k / t.cols, c = k % t.cols, tile = (T * (K3 / t.cols) + U) * (t.rows / 32) + rb;
  const uint64_t byte = (tile * (t.cols / 6) + c / 6) * 32 + P(r2);
  const uint64_t q = rows * K3 / 6 + 2 * ((tile * (t.cols / 24) + c / 24) * 16 + r2 % 16);
  const uint64_t bit = 15 - (2 * ((c % 24) / 3) + r2 / 16);
  return {byte,
          Place::kThree,
          static_cast<unsigned>(c % 3),
          c % 6 < 3 ? 4u : 0u,
          q + bit / 8,
          static_cast<unsigned>(bit % 8)};
}

inline Place i2s_place(I2sOrder order, uint64_t cols, uint64_t r, uint64_t c) {
  const auto shift = [](uint64_t group) { return static_cast<unsigned>(6 - 2 * group); };
  const uint64_t flat = r * cols + c;
  if (order == I2sOrder::kX86_128)
    return {flat / 128 * 32 + flat % 32, Place::kTwoBits, shift(flat % 128 / 32), 0};
  if (order == I2sOrder::kArm_64)
    return {flat / 64 * 16 + flat % 16, Place::kTwoBits, shift(flat % 64 / 16), 0};
  return {r / 4 * cols + c, Place::kTwoBits, shift(r % 4), 0};
}

inline Place oracle_place(const Layout& layout, uint64_t rows, uint64_t cols, uint64_t r, uint64_t c) {
  const auto u = [](uint64_t value) { return static_cast<unsigned>(value); };
  const uint64_t flat = r * cols + c;
  switch (layout.dtype) {
    case DType::kI2_S:
      return i2s_place(layout.choice.i2s_order, cols, r, c);
    case DType::kTL1:
      return tl1_place(layout.choice.tl_tile, cols, r, c);
    case DType::kTL2:
      return tl2_place(layout.choice.tl_tile, rows, cols, r, c);
    case DType::kPTQ1_0: {
      const uint64_t e = flat % 128, block = flat / 128 * 28;
      if (e < 80) return {block + e % 16, Place::kBase3First, u(e / 16), 5};
      if (e < 120) return {block + 16 + (e - 80) % 8, Place::kBase3First, u((e - 80) / 8), 5};
      return {block + 24 + (e - 120) % 2, Place::kBase3First, u((e - 120) / 2), 4};
    }
    case DType::kMlx1:
      return {flat / 32 * 4 + flat % 32 / 8, Place::kOneBit, u(flat % 8), 0};
    case DType::kMlx2:
      return {flat / 16 * 4 + flat % 16 / 4, Place::kTwoBits, u(2 * (flat % 4)), 0};
    case DType::kIQ2_BN_R4: {
      const uint64_t quad = r / 4 * (16 + cols) + 16, l = c % 64 / 16, i = c % 4;
      return {quad + c / 64 * 64 + 4 * (r % 4) + i + 16 * l, Place::kTwoBits, u(2 * (c % 16 / 4)), 0};
    }
    case DType::kTQ2_0: {
      const uint64_t e = flat % 256;
      return {flat / 256 * 66 + e / 128 * 32 + e % 32, Place::kTwoBits, u(2 * (e % 128 / 32)), 0};
    }
    case DType::kTQ1_0: {
      const uint64_t e = flat % 256, block = flat / 256 * 54;
      if (e < 160) return {block + e % 32, Place::kBase3First, u(e / 32), 5};
      if (e < 240) return {block + 32 + (e - 160) % 16, Place::kBase3First, u((e - 160) / 16), 5};
      return {block + 48 + (e - 240) % 4, Place::kBase3First, u((e - 240) / 4), 4};
    }
    case DType::kQ1_0:
      return {flat / 128 * 18 + 2 + flat % 128 / 8, Place::kOneBit, u(flat % 8), 0};
    case DType::kQ2_0_G64:
      return {flat / 64 * 18 + 2 + flat % 64 / 4, Place::kTwoBits, u(2 * (flat % 4)), 0};
    case DType::kQ2_0_G128:
      return {flat / 128 * 34 + 2 + flat % 128 / 4, Place::kTwoBits, u(2 * (flat % 4)), 0};
    case DType::kIQ2_BN: {
      const uint64_t row = r * (4 + cols / 64 * 16) + 4;
      return {row + c / 64 * 16 + c % 16, Place::kTwoBits, u(2 * (c % 64 / 16)), 0};
    }
    case DType::kIQ1_BN: {
      const uint64_t block = r * (2 + cols / 64 * 13) + 2 + c / 64 * 13;
      const uint64_t a = c % 64 / 16, i = c % 16;
      if (i == 15) return {block + 12, Place::kBase3Last, u(a), 4};
      return {block + 3 * a + i / 5, Place::kBase3Last, u(i % 5), 5};
    }
    default: {  // kHfU8
      const uint64_t quarter = (rows + 3) / 4;
      return {r % quarter * cols + c, Place::kTwoBits, u(2 * (r / quarter)), 0};
    }
  }
}

/// The weight at a place, or nothing where the byte is one that no encoder of the layout writes.
inline std::optional<int> oracle_trit(DType dtype, std::span<const std::byte> bytes, Place place) {
  const unsigned byte = static_cast<unsigned>(bytes[place.byte]);
  if (place.kind == Place::kOneBit) return (byte >> place.index & 1) != 0 ? 1 : -1;
  if (place.kind == Place::kTwoBits) {
    const int code = static_cast<int>(byte >> place.index & 3);
    const bool has_two = dtype == DType::kQ2_0_G64 || dtype == DType::kQ2_0_G128 || dtype == DType::kMlx2;
    if (code == 3 && !has_two) return std::nullopt;
    return code - 1;
  }
  if (place.kind == Place::kPair) {
    const int n = static_cast<int>(byte >> place.digits & 15);
    if (n > 8) return std::nullopt;
    return place.index == 0 ? n / 3 - 1 : n % 3 - 1;
  }
  if (place.kind == Place::kThree) {
    const int n = static_cast<int>(byte >> place.digits & 15);
    const bool neg = (static_cast<unsigned>(bytes[place.sign_byte]) >> place.sign_shift & 1) != 0;
    if (n > 13 || (n == 0 && neg)) return std::nullopt;
    const int v = (neg ? -n : n) + 13;
    return place.index == 0 ? v / 9 - 1 : place.index == 1 ? v / 3 % 3 - 1 : v % 3 - 1;
  }
  // The number whose byte is ceil(256 v / 243), by trying all; four digits are followed (First) or topped
  // (Last) by a 0.
  for (unsigned v = 0; v < 243; ++v) {
    if ((256 * v + 242) / 243 != byte) continue;
    unsigned digit[5] = {v / 81, v / 27 % 3, v / 9 % 3, v / 3 % 3, v % 3};  // most significant first
    const bool first = place.kind == Place::kBase3First;
    if (place.digits == 4 && digit[first ? 4 : 0] != 0) return std::nullopt;
    return static_cast<int>(digit[first ? place.index : 4 - place.index]) - 1;
  }
  return std::nullopt;
}

inline std::vector<int8_t> random_trits(const TernaryCodec& codec, uint64_t count, Random& random) {
  const bool two = codec.has_two;
  std::vector<int8_t> trits(count);
  for (int8_t& t : trits) {
    t = static_cast<int8_t>(codec.has_zero ? static_cast<int>(random.below(two ? 4 : 3)) - 1
                                           : static_cast<int>(random.below(2)) * 2 - 1);
  }
  return trits;
}

}  // namespace tern::test
