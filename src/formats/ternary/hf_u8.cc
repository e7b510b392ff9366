// SPDX-License-Identifier: MIT
// The packed uint8 tensor of Hugging Face's "bitnet" quantisation: [Q, cols] bytes with Q = ceil(rows/4),
// row-major. Row r + i Q is bits (2i+1..2i) of byte row r, so the four rows of a byte lie a quarter of the
// matrix apart. Where rows % 4 != 0 the fields of rows that do not exist are ignored on reading and 0 on
// writing. The scale is another tensor (weight_scale). Source: FORMATS.md B.2.
#include "formats/ternary/layouts.h"
#include "formats/ternary/two_bit.h"

namespace tern::hf_u8 {
namespace {

constexpr uint64_t packed_rows(uint64_t rows) { return rows / 4 + (rows % 4 != 0); }

Status check_shape(uint64_t rows, uint64_t cols, uint64_t found_bytes) {
  return check_size(DType::kHfU8, rows, cols, packed_rows(rows), cols, 0, found_bytes);
}

}  // namespace

Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
              uint64_t row_count, LayoutChoice, int8_t* trits, float*) {
  TERN_TRY(check_shape(rows, cols, bytes.size()));
  check_row_range(rows, row_begin, row_count);
  if (bytes.empty()) return {};  // a header may claim 2^60 rows of nothing
  const uint8_t* base = as_u8(bytes);
  for (uint64_t r = row_begin; r < row_begin + row_count; ++r, trits += cols) {
    const uint64_t begin = r % packed_rows(rows) * cols;
    const unsigned shift = static_cast<unsigned>(2 * (r / packed_rows(rows)));
    if (!unpack_field(base + begin, cols, shift, trits)) {
      const uint64_t at = begin + find_undefined_field(base + begin, cols, shift);
      return undefined_byte(DType::kHfU8, at, base[at]);
    }
  }
  return {};
}

Status encode(const int8_t* trits, const float*, uint64_t rows, uint64_t cols, LayoutChoice,
              std::span<std::byte> bytes) {
  TERN_TRY(check_shape(rows, cols, bytes.size()));
  TERN_TRY(check_trits(DType::kHfU8, trits, rows, cols, {}));
  if (bytes.empty()) return {};
  if (rows % 4 == 0) {
    pack_bytes(trits + 3 * bytes.size(), -static_cast<int64_t>(bytes.size()), bytes.size(), as_u8(bytes));
    return {};
  }
  std::memset(bytes.data(), 0, bytes.size());
  for (uint64_t r = 0; r < rows; ++r, trits += cols) {
    pack_field(trits, cols, static_cast<unsigned>(2 * (r / packed_rows(rows))),
               as_u8(bytes) + r % packed_rows(rows) * cols);
  }
  return {};
}

}  // namespace tern::hf_u8
