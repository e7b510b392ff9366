// SPDX-License-Identifier: MIT
// I2_S (bitnet.cpp): rows*cols/4 bytes of two-bit codes, then a trailer of 32 bytes whose first four are the
// tensor's f32 scale; the other 28 differ between writers, so they are ignored on reading and zero on
// writing. In all three byte orders group 0 lies in the two most significant bits:
//
//   x86-128   128 weights of a row in 32 bytes: weight 32 g + p is field g of byte p
//   arm-64     64 weights of a row in 16 bytes: weight 16 g + p is field g of byte p
//   x86-1x4   4 rows by 1 column in a byte:     row 4 (m/4) + g is field g of byte (m/4) * cols + column
//
// Upstream runs its blocks over the flattened tensor; a block that straddles rows is refused here, since
// upstream's own products read such files wrongly. Source: FORMATS.md A.4.
#include "formats/ternary/layouts.h"
#include "formats/ternary/two_bit.h"

namespace tern::i2_s {
namespace {

constexpr uint64_t kTrailerBytes = 32;

constexpr unsigned field_shift(uint64_t group) { return static_cast<unsigned>(6 - 2 * group); }

/// Bytes of a block of the two orders along a row.
constexpr uint64_t block_bytes(I2sOrder order) { return order == I2sOrder::kArm_64 ? 16 : 32; }

Status check_shape(uint64_t rows, uint64_t cols, I2sOrder order, uint64_t found_bytes) {
  if (order == I2sOrder::kX86_1x4) {
    TERN_TRY(check_multiple(DType::kI2_S, "rows (byte order x86-1x4)", rows, 4));
    return check_size(DType::kI2_S, rows, cols, rows / 4, cols, kTrailerBytes, found_bytes);
  }
  const char* what =
      order == I2sOrder::kArm_64 ? "columns (byte order arm-64)" : "columns (byte order x86-128)";
  TERN_TRY(check_multiple(DType::kI2_S, what, cols, 4 * block_bytes(order)));
  return check_size(DType::kI2_S, rows, cols, rows, cols / 4, kTrailerBytes, found_bytes);
}

/// One row of the orders along a row. Returns the offset of an undefined byte, or bytes.size of the row.
uint64_t decode_row(const uint8_t* bytes, uint64_t cols, uint64_t block, int8_t* trits) {
  for (uint64_t b = 0; b < cols / 4; b += block) {
    bool defined = true;
    for (uint64_t g = 0; g < 4; ++g) {
      defined &= unpack_field(bytes + b, block, field_shift(g), trits + 4 * b + g * block);
    }
    if (!defined) return b + find_undefined_byte(bytes + b, static_cast<uint32_t>(block));
  }
  return cols / 4;
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, I2sOrder order, int8_t* trits, float* scales) {
  TERN_TRY(check_shape(rows, cols, order, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  const uint8_t* base = as_u8(bytes);
  for (uint64_t r = row_begin; r < row_begin + row_count; ++r) {
    if (order == I2sOrder::kX86_1x4) {
      const uint64_t begin = r / 4 * cols;
      if (!unpack_field(base + begin, cols, field_shift(r % 4), trits)) {
        const uint64_t at = begin + find_undefined_field(base + begin, cols, field_shift(r % 4));
        return undefined_byte(DType::kI2_S, at, base[at]);
      }
    } else {
      const uint64_t begin = r * (cols / 4);
      const uint64_t at = decode_row(base + begin, cols, block_bytes(order), trits);
      if (at != cols / 4) return undefined_byte(DType::kI2_S, begin + at, base[begin + at]);
    }
    trits += cols;
    std::memcpy(scales++, bytes.data() + bytes.size() - kTrailerBytes, sizeof(float));
  }
  return {};
}

Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, I2sOrder order,
              std::span<std::byte> bytes) {
  TERN_TRY(check_shape(rows, cols, order, bytes.size()));
  TERN_TRY(check_trits(DType::kI2_S, trits, rows, cols, {}));
  std::memset(bytes.data(), 0, bytes.size());
  uint8_t* base = as_u8(bytes);
  for (uint64_t r = 0; r < rows; ++r, trits += cols) {
    if (order == I2sOrder::kX86_1x4) {
      pack_field(trits, cols, field_shift(r % 4), base + r / 4 * cols);
      continue;
    }
    const uint64_t block = block_bytes(order);
    uint8_t* row = base + r * (cols / 4);
    for (uint64_t b = 0; b < cols / 4; b += block) {
      for (uint64_t g = 0; g < 4; ++g) pack_field(trits + 4 * b + g * block, block, field_shift(g), row + b);
    }
  }
  if (rows > 0) std::memcpy(bytes.data() + bytes.size() - kTrailerBytes, scales, sizeof(float));
  return {};
}

}  // namespace tern::i2_s
