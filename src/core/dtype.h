// SPDX-License-Identifier: MIT
// The element types that tensors in files can have. One name per byte layout: where containers give two
// layouts the same id (FORMATS.md A.2), they are two DTypes here and the reader tells them apart by byte
// span.
#pragma once

#include <cstdint>
#include <string_view>

namespace tern {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
  // dense blocks
  kQ8_0,
  kQ4_0,
  kQ4_K,
  kQ6_K,
  // ternary and 1-bit blocks
  kI2_S,
  kTL1,
  kTL2,
  kTQ1_0,
  kTQ2_0,
  kIQ1_BN,
  kIQ2_BN,
  kIQ2_BN_R4,
  kQ1_0,
  kQ2_0_G64,
  kQ2_0_G128,
  kPTQ1_0,
  kMlx1,
  kMlx2,
  kHfU8,
};

/// "f32", "i2_s", "tq2_0"... as users type it and as every message prints it.
std::string_view dtype_name(DType dtype);

/// True for the types whose weights are trits (or +-1) times a scale.
constexpr bool is_ternary(DType dtype) { return dtype >= DType::kI2_S; }

}  // namespace tern
