// SPDX-License-Identifier: MIT
// I2_S (bitnet.cpp): rows*cols/4 bytes of two-bit codes, then a trailer of 32 bytes whose first four are the
// tensor's f32 scale; the other 28 differ between writers, so they are ignored on reading and zero on
// writing. In all three byte orders group 0 lies in the two most significant bits:
//
//   x86-128   128 weights in 32 bytes: weight 32 g + p is field g of byte p
//   arm-64     64 weights in 16 bytes: weight 16 g + p is field g of byte p
//   x86-1x4   4 rows by 1 column in a byte: row 4 (m/4) + g is field g of byte (m/4) * cols + column
//
// The writers run the first two over the flattened matrix, so where the block does not divide the columns
// (1bitLLM's 8640 and 5460) blocks straddle rows. They are read as they were written; bitnet.cpp's own
// products drop the tail of such rows, so those files only ever worked elsewhere. Source: FORMATS.md A.4,
// B.4.
#include <algorithm>
#include <array>

#include "formats/ternary/layouts.h"
#include "formats/ternary/two_bit.h"

namespace tern::i2_s {
namespace {

constexpr uint64_t kTrailerBytes = 32;

constexpr unsigned field_shift(uint64_t group) { return static_cast<unsigned>(6 - 2 * group); }

/// Bytes of a block of the two orders along the flattened matrix.
constexpr uint64_t block_bytes(I2sOrder order) { return order == I2sOrder::kArm_64 ? 16 : 32; }

Status check_shape(uint64_t rows, uint64_t cols, I2sOrder order, uint64_t found_bytes) {
  if (order == I2sOrder::kX86_1x4) {
    TERN_TRY(check_multiple(DType::kI2_S, "rows (byte order x86-1x4)", rows, 4));
    return check_size(DType::kI2_S, rows, cols, rows / 4, cols, kTrailerBytes, found_bytes);
  }
  const uint64_t block = 4 * block_bytes(order);
  uint64_t weights = 0;  // an overflow is named by check_size
  if (!__builtin_mul_overflow(rows, cols, &weights)) {
    const char* what =
        order == I2sOrder::kArm_64 ? "weights (byte order arm-64)" : "weights (byte order x86-128)";
    TERN_TRY(check_multiple(DType::kI2_S, what, weights, block));
    return check_size(DType::kI2_S, rows, cols, weights / 4, 1, kTrailerBytes, found_bytes);
  }
  return check_size(DType::kI2_S, rows, cols, rows, cols, kTrailerBytes, found_bytes);
}

/// All weights of one block. False where a code is undefined; its weight is then 2.
bool decode_block(const uint8_t* bytes, uint64_t block, int8_t* trits) {
  bool defined = true;
  for (uint64_t g = 0; g < 4; ++g) {
    defined &= unpack_field(bytes, block, field_shift(g), trits + g * block);
  }
  return defined;
}

/// Weights [begin, end) of the flattened matrix. Returns the offset of the first undefined byte among them,
/// or kAllDefined.
constexpr uint64_t kAllDefined = ~uint64_t{0};
uint64_t decode_run(const uint8_t* base, uint64_t begin, uint64_t end, uint64_t block, int8_t* trits) {
  const uint64_t weights = 4 * block;
  while (begin < end) {
    const uint8_t* bytes = base + begin / weights * block;
    const uint64_t skip = begin % weights, count = std::min(weights - skip, end - begin);
    if (count == weights) {
      if (!decode_block(bytes, block, trits))
        return static_cast<uint64_t>(bytes - base) + find_undefined_byte(bytes, static_cast<uint32_t>(block));
    } else {  // the block belongs to other rows too, whose codes are not this call's business
      std::array<int8_t, 128> whole;
      decode_block(bytes, block, whole.data());
      const int8_t* own = whole.data() + skip;
      const int8_t* undefined = std::find(own, own + count, int8_t{2});
      if (undefined != own + count) {
        return static_cast<uint64_t>(bytes - base) + static_cast<uint64_t>(undefined - whole.data()) % block;
      }
      std::copy(own, own + count, trits);
    }
    trits += count;
    begin += count;
  }
  return kAllDefined;
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice layout, int8_t* trits, float* scales) {
  const I2sOrder order = layout.i2s_order;
  TERN_TRY(check_shape(rows, cols, order, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  const uint8_t* base = as_u8(bytes);
  if (order == I2sOrder::kX86_1x4) {
    for (uint64_t r = row_begin; r < row_begin + row_count; ++r, trits += cols) {
      const uint64_t begin = r / 4 * cols;
      if (!unpack_field(base + begin, cols, field_shift(r % 4), trits)) {
        const uint64_t at = begin + find_undefined_field(base + begin, cols, field_shift(r % 4));
        return undefined_byte(DType::kI2_S, at, base[at]);
      }
    }
  } else {
    const uint64_t at =
        decode_run(base, row_begin * cols, (row_begin + row_count) * cols, block_bytes(order), trits);
    if (at != kAllDefined) return undefined_byte(DType::kI2_S, at, base[at]);
  }
  float scale = 0;
  std::memcpy(&scale, bytes.data() + bytes.size() - kTrailerBytes, sizeof scale);
  std::fill(scales, scales + row_count, scale);
  return {};
}

Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, LayoutChoice layout,
              std::span<std::byte> bytes) {
  const I2sOrder order = layout.i2s_order;
  TERN_TRY(check_shape(rows, cols, order, bytes.size()));
  TERN_TRY(check_trits(DType::kI2_S, trits, rows, cols, {}));
  std::memset(bytes.data(), 0, bytes.size());
  uint8_t* base = as_u8(bytes);
  if (order == I2sOrder::kX86_1x4) {
    for (uint64_t r = 0; r < rows; r += 4)
      pack_bytes(trits + r * cols, static_cast<int64_t>(cols), cols, base + r / 4 * cols);
  } else {
    const uint64_t block = block_bytes(order);
    for (uint64_t b = 0; b < rows * cols / 4; b += block)
      pack_bytes(trits + 4 * b, static_cast<int64_t>(block), block, base + b);
  }
  if (rows > 0) std::memcpy(bytes.data() + bytes.size() - kTrailerBytes, scales, sizeof(float));
  return {};
}

}  // namespace tern::i2_s
