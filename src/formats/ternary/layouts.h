// SPDX-License-Identifier: MIT
// What the layout files of this folder share with each other and with codec.cc, and nobody else includes: the
// names of their functions, the checks every call starts with, and the wording of their errors.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "formats/ternary/codec.h"

namespace tern {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian; scales are read by memcpy");

using TernaryDecode = std::remove_pointer_t<decltype(TernaryCodec::decode)>;
using TernaryEncode = std::remove_pointer_t<decltype(TernaryCodec::encode)>;

// One pair per layout file; the contract is TernaryCodec's.
namespace i2_s {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace i2_s
namespace tl1 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace tl1
namespace tl2 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace tl2
namespace tq1_0 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace tq1_0
namespace tq2_0 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace tq2_0
namespace iq1_bn {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace iq1_bn
namespace iq2_bn {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace iq2_bn
namespace iq2_bn_r4 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace iq2_bn_r4
namespace q1_0 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace q1_0
namespace q2_0_g64 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace q2_0_g64
namespace q2_0_g128 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace q2_0_g128
namespace ptq1_0 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace ptq1_0
namespace mlx1 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace mlx1
namespace mlx2 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace mlx2
namespace hf_u8 {
TernaryDecode decode;
TernaryEncode encode;
}  // namespace hf_u8

/// The trits that a layout can hold: lowest to highest, zero included or not.
struct TritRange {
  int8_t lowest = -1;
  int8_t highest = 1;
  bool has_zero = true;
};

/// Fails with kCorrupt unless the tensor is `units` runs of `unit_bytes` plus `trailer_bytes` long.
Status check_size(DType dtype, uint64_t rows, uint64_t cols, uint64_t units, uint64_t unit_bytes,
                  uint64_t trailer_bytes, uint64_t found_bytes);

/// Fails with kUnsupported unless size % multiple == 0; `what` is "columns" or "rows".
Status check_multiple(DType dtype, const char* what, uint64_t size, uint64_t multiple);

/// Fails with kUnsupported at the first of the [rows, cols] trits outside `range`, naming it and its place.
Status check_trits(DType dtype, const int8_t* trits, uint64_t rows, uint64_t cols, TritRange range);

/// The error of decode for a byte that no encoder of the layout produces.
Error undefined_byte(DType dtype, uint64_t offset, uint8_t value);

/// The error of encode for a scale that IEEE half cannot hold; `index` counts the tensor's scales.
Error scale_not_f16(DType dtype, float scale, uint64_t index);

/// Row ranges come from our own code: a wrong one is a bug.
inline void check_row_range(uint64_t rows, uint64_t row_begin, uint64_t row_count) {
  TERN_CHECK(row_begin <= rows && row_count <= rows - row_begin, "row range outside the tensor");
}

inline const uint8_t* as_u8(std::span<const std::byte> bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}
inline uint8_t* as_u8(std::span<std::byte> bytes) { return reinterpret_cast<uint8_t*>(bytes.data()); }

}  // namespace tern
