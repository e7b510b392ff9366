// SPDX-License-Identifier: MIT
// The codes of MLX's affine quantisation at 1 and 2 bits: rows of little-endian u32 words, weight j of a row
// in bits b (j mod 32/b) and up of its word, so in memory order simply b bits after b bits. Trits are 2 c - 1
// at one bit and c - 1 at two, where code 3 = +2 is legal as in Q2_0. What a code is worth is in two other
// tensors, scales and biases (view.cc). Source: FORMATS.md B.7.
#include "formats/ternary/layouts.h"
#include "formats/ternary/two_bit.h"

namespace tern {
namespace {

template <DType kType, unsigned kBits>
struct MlxCodes {
  static constexpr uint64_t kPerByte = 8 / kBits, kWordCols = 32 / kBits;
  static constexpr unsigned kMask = (1u << kBits) - 1;
  static constexpr TritRange kTrits = kBits == 1 ? TritRange{.lowest = -1, .highest = 1, .has_zero = false}
                                                 : TritRange{.lowest = -1, .highest = 2};

  static Status check_shape(uint64_t rows, uint64_t cols, uint64_t found_bytes) {
    TERN_TRY(check_multiple(kType, "columns", cols, kWordCols));
    return check_size(kType, rows, cols, rows, cols / kPerByte, 0, found_bytes);
  }

  static Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
                       uint64_t row_count, int8_t* trits) {
    TERN_TRY(check_shape(rows, cols, bytes.size()));
    check_row_range(rows, row_begin, row_count);
    if (bytes.empty()) return {};  // a header may claim 2^60 rows of nothing
    const uint8_t* from = as_u8(bytes) + row_begin * (cols / kPerByte);
    const uint64_t count = row_count * (cols / kPerByte);
    if constexpr (kBits == 2) {
      unpack_bytes(from, count, trits);
    } else {
      for (uint64_t i = 0; i < count; ++i) {
        for (unsigned j = 0; j < 8; ++j) trits[8 * i + j] = static_cast<int8_t>((from[i] >> j & 1) * 2 - 1);
      }
    }
    return {};
  }

  static Status encode(const int8_t* trits, uint64_t rows, uint64_t cols, std::span<std::byte> bytes) {
    TERN_TRY(check_shape(rows, cols, bytes.size()));
    TERN_TRY(check_trits(kType, trits, rows, cols, kTrits));
    if (bytes.empty()) return {};
    for (uint64_t i = 0; i < rows * (cols / kPerByte); ++i) {
      unsigned byte = 0;
      for (unsigned j = 0; j < kPerByte; ++j) {
        const unsigned code = static_cast<unsigned>(trits[i * kPerByte + j] + 1) / (kBits == 1 ? 2 : 1);
        byte |= code << kBits * j;
      }
      as_u8(bytes)[i] = static_cast<uint8_t>(byte);
    }
    return {};
  }
};

using OneBit = MlxCodes<DType::kMlx1, 1>;
using TwoBits = MlxCodes<DType::kMlx2, 2>;

}  // namespace

namespace mlx1 {
Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice, int8_t* trits, float*) {
  return OneBit::decode(bytes, rows, cols, row_begin, row_count, trits);
}
Status encode(const int8_t* trits, const float*, uint64_t rows, uint64_t cols, LayoutChoice,
              std::span<std::byte> bytes) {
  return OneBit::encode(trits, rows, cols, bytes);
}
}  // namespace mlx1

namespace mlx2 {
Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice, int8_t* trits, float*) {
  return TwoBits::decode(bytes, rows, cols, row_begin, row_count, trits);
}
Status encode(const int8_t* trits, const float*, uint64_t rows, uint64_t cols, LayoutChoice,
              std::span<std::byte> bytes) {
  return TwoBits::encode(trits, rows, cols, bytes);
}
}  // namespace mlx2

}  // namespace tern
