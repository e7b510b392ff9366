// SPDX-License-Identifier: MIT
// The list of ternary codecs with the facts of each, and the checks and error texts that all of them use.
#include "formats/ternary/codec.h"

#include <array>
#include <bit>

#include "core/float16.h"
#include "formats/ternary/layouts.h"

namespace tern {
namespace {

using enum ScaleScope;

// In the order of DType.
constexpr std::array<TernaryCodec, 15> kCodecs = {{
    // dtype, scope, group_cols, block_rows, block_cols, has_scale, f16_scale, has_zero, has_two, decode,
    // encode
    {DType::kI2_S, kTensor, 0, 1, 128, true, false, true, false, i2_s::decode, i2_s::encode},
    {DType::kTL1, kTensor, 0, 32, 4, true, false, true, false, tl1::decode, tl1::encode},
    {DType::kTL2, kTensor, 0, 32, 8, true, false, true, false, tl2::decode, tl2::encode},
    {DType::kTQ1_0, kGroup, 256, 1, 256, true, true, true, false, tq1_0::decode, tq1_0::encode},
    {DType::kTQ2_0, kGroup, 256, 1, 256, true, true, true, false, tq2_0::decode, tq2_0::encode},
    {DType::kIQ1_BN, kRow, 0, 1, 64, true, true, true, false, iq1_bn::decode, iq1_bn::encode},
    {DType::kIQ2_BN, kRow, 0, 1, 64, true, false, true, false, iq2_bn::decode, iq2_bn::encode},
    {DType::kIQ2_BN_R4, kRow, 0, 4, 64, true, false, true, false, iq2_bn_r4::decode, iq2_bn_r4::encode},
    {DType::kQ1_0, kGroup, 128, 1, 128, true, true, false, false, q1_0::decode, q1_0::encode},
    {DType::kQ2_0_G64, kGroup, 64, 1, 64, true, true, true, true, q2_0_g64::decode, q2_0_g64::encode},
    {DType::kQ2_0_G128, kGroup, 128, 1, 128, true, true, true, true, q2_0_g128::decode, q2_0_g128::encode},
    {DType::kPTQ1_0, kGroup, 128, 1, 128, true, true, true, false, ptq1_0::decode, ptq1_0::encode},
    {DType::kMlx1, kTensor, 0, 1, 32, false, false, false, false, mlx1::decode, mlx1::encode},
    {DType::kMlx2, kTensor, 0, 1, 16, false, false, true, true, mlx2::decode, mlx2::encode},
    {DType::kHfU8, kTensor, 0, 1, 1, false, false, true, false, hf_u8::decode, hf_u8::encode},
}};

}  // namespace

std::span<const TernaryCodec> ternary_codecs() { return kCodecs; }

const TernaryCodec* find_codec(DType dtype) {
  for (const TernaryCodec& codec : kCodecs) {
    if (codec.dtype == dtype) return &codec;
  }
  return nullptr;
}

bool fits_f16(float scale) {
  return std::bit_cast<uint32_t>(f16_to_f32(f32_to_f16(scale))) == std::bit_cast<uint32_t>(scale);
}

Status check_size(DType dtype, uint64_t rows, uint64_t cols, uint64_t units, uint64_t unit_bytes,
                  uint64_t trailer_bytes, uint64_t found_bytes) {
  uint64_t weights = 0;  // must fit as well: it is the size of the trits
  uint64_t expected = 0;
  if (__builtin_mul_overflow(rows, cols, &weights) || __builtin_mul_overflow(units, unit_bytes, &expected) ||
      __builtin_add_overflow(expected, trailer_bytes, &expected)) {
    return make_error(ErrorCode::kCorrupt, "{} tensor of {} x {} weights is larger than any memory",
                      dtype_name(dtype), rows, cols);
  }
  if (expected != found_bytes) {
    return make_error(ErrorCode::kCorrupt, "{} tensor of {} x {} weights takes {} bytes, found {}",
                      dtype_name(dtype), rows, cols, expected, found_bytes);
  }
  return {};
}

Status check_multiple(DType dtype, const char* what, uint64_t size, uint64_t multiple) {
  if (size % multiple == 0) return {};
  return make_error(ErrorCode::kUnsupported, "{} needs a number of {} that {} divides, found {}",
                    dtype_name(dtype), what, multiple, size);
}

Status check_trits(DType dtype, const int8_t* trits, uint64_t rows, uint64_t cols, TritRange range) {
  const auto legal = [range](int8_t t) {
    return (t >= range.lowest) & (t <= range.highest) & (range.has_zero | (t != 0));
  };
  // One pass without early exit, in bytes, is vector code; the place is looked for only when needed.
  const auto highest = static_cast<uint8_t>(range.highest - range.lowest);
  uint8_t illegal = 0;
  for (uint64_t i = 0; i < rows * cols; ++i) {
    const auto above =
        static_cast<uint8_t>(trits[i] - range.lowest);  // wraps to a large number where too low
    illegal |= static_cast<uint8_t>(above > highest ? 1 : 0);
  }
  for (uint64_t i = 0; !range.has_zero && i < rows * cols; ++i)
    illegal |= static_cast<uint8_t>(trits[i] == 0 ? 1 : 0);
  if (illegal == 0) return {};
  uint64_t at = 0;
  while (legal(trits[at])) ++at;
  return make_error(ErrorCode::kUnsupported, "{} holds weights {} {} +{}, found {} at row {}, column {}",
                    dtype_name(dtype), range.lowest, range.has_zero ? "to" : "and", range.highest, trits[at],
                    at / cols, at % cols);
}

Error undefined_byte(DType dtype, uint64_t offset, uint8_t value) {
  return make_error(
      ErrorCode::kCorrupt,
      "byte {} of the {} tensor is 0x{:02x}, which stands for no weights: the file is damaged or has "
      "another layout",
      offset, dtype_name(dtype), value);
}

Error scale_not_f16(DType dtype, float scale, uint64_t index) {
  return make_error(
      ErrorCode::kUnsupported,
      "{} stores scales as f16, which cannot hold {} (scale {}) exactly: keep 1.0 here and the value "
      "in an f32 .scale tensor",
      dtype_name(dtype), scale, index);
}

}  // namespace tern
