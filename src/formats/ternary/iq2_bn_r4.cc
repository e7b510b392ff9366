// SPDX-License-Identifier: MIT
// IQ2_BN_R4 (ik_llama.cpp): IQ2_BN with four rows interleaved. Each four rows start with their f32 scales,
// then 64 columns take 64 bytes: field f of byte 16 l + 4 k + i holds column 16 l + 4 f + i of row k. Source:
// FORMATS.md A.3.
#include "formats/ternary/layouts.h"
#include "formats/ternary/two_bit.h"

namespace tern::iq2_bn_r4 {
namespace {

constexpr uint64_t kRows = 4, kBlockCols = 64, kBlockBytes = 64, kScalesBytes = kRows * sizeof(float);

constexpr uint64_t quad_bytes(uint64_t cols) { return kScalesBytes + cols / kBlockCols * kBlockBytes; }

Status check_shape(uint64_t rows, uint64_t cols, uint64_t found_bytes) {
  TERN_TRY(check_multiple(DType::kIQ2_BN_R4, "rows", rows, kRows));
  TERN_TRY(check_multiple(DType::kIQ2_BN_R4, "columns", cols, kBlockCols));
  return check_size(DType::kIQ2_BN_R4, rows, cols, rows / kRows, quad_bytes(cols), 0, found_bytes);
}

/// trits[4 f + i] = field f of bytes[i], minus 1: four bytes of a word at a time. Returns false if a code
/// was 3.
bool unpack_four(const uint8_t* bytes, int8_t* trits) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  for (unsigned f = 0; f < 4; ++f) {
    // Subtracts 1 from each byte: the top bits, set before and turned round after, keep borrows inside.
    const uint32_t codes = word >> 2 * f & 0x03030303u;
    const uint32_t minus_one = ((codes | 0x80808080u) - 0x01010101u) ^ 0x80808080u;
    std::memcpy(trits + 4 * f, &minus_one, sizeof minus_one);
  }
  return (word & word >> 1 & 0x55555555u) == 0;
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice, int8_t* trits, float* scales) {
  TERN_TRY(check_shape(rows, cols, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  const uint8_t* base = as_u8(bytes);
  for (uint64_t row = row_begin; row < row_begin + row_count; ++row) {
    const uint8_t* quad = base + row / kRows * quad_bytes(cols);
    const uint64_t k = row % kRows;
    std::memcpy(scales++, quad + k * sizeof(float), sizeof(float));
    // Sixteen columns are the four fields of four bytes.
    const uint8_t* codes = quad + kScalesBytes + 4 * k;
    for (uint64_t col = 0; col < cols; col += 16, codes += 16, trits += 16) {
      if (unpack_four(codes, trits)) continue;
      const uint8_t* at = codes + find_undefined_byte(codes, 4);
      return undefined_byte(DType::kIQ2_BN_R4, static_cast<uint64_t>(at - base), *at);
    }
  }
  return {};
}

Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, LayoutChoice,
              std::span<std::byte> bytes) {
  TERN_TRY(check_shape(rows, cols, bytes.size()));
  TERN_TRY(check_trits(DType::kIQ2_BN_R4, trits, rows, cols, {}));
  if (bytes.empty()) return {};
  std::memset(bytes.data(), 0, bytes.size());
  for (uint64_t row = 0; row < rows; ++row) {
    uint8_t* quad = as_u8(bytes) + row / kRows * quad_bytes(cols);
    const uint64_t k = row % kRows;
    std::memcpy(quad + k * sizeof(float), scales + row, sizeof(float));
    uint8_t* codes = quad + kScalesBytes + 4 * k;
    for (uint64_t col = 0; col < cols; col += 16, codes += 16, trits += 16) {
      for (unsigned f = 0; f < 4; ++f) pack_field(trits + 4 * f, 4, 2 * f, codes);
    }
  }
  return {};
}

}  // namespace tern::iq2_bn_r4
