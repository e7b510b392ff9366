// SPDX-License-Identifier: MIT
// Dense rows: the float types and the blocks of 32 (Q8_0, Q4_0); the blocks of 256 are in dense_k.cc.
// The order of rounding is the contract: fl() below is one f32 rounding, d is the block's f16 scale widened
// exactly.
#include "formats/dense.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/float16.h"
#include "formats/dense_k.h"

namespace tern {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and read by memcpy");

constexpr uint32_t kBlock32 = 32, kQ8Bytes = 34, kQ4Bytes = 18;

uint16_t load_u16(const uint8_t* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void store_u16(uint16_t value, uint8_t* to) { std::memcpy(to, &value, sizeof value); }

/// Q8_0: f16 d; i8 q[32]. Weight = fl(d * q).
void dequantize_q8_0(const uint8_t* block, float* out) {
  const float d = f16_to_f32(load_u16(block));
  for (uint32_t i = 0; i < kBlock32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

/// Q4_0: f16 d; u8 b[16], low nibble of b[i] = element i, high nibble = element i + 16. Weight = fl(d * (n -
/// 8)).
void dequantize_q4_0(const uint8_t* block, float* out) {
  const float d = f16_to_f32(load_u16(block));
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block[2 + i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block[2 + i] >> 4) - 8);
  }
}

/// Nearest integer, halves away from zero; exact for |x| < 2^22 since then x - trunc(x) is.
int round_half_away(float x) {
  const int whole = static_cast<int>(x);
  const float rest = x - static_cast<float>(whole);
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/// 1/d, or 0 where d is 0 or so small that 1/d is infinite (then f16(d) is 0 and the codes do not matter).
float inverse_or_zero(float d) {
  const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

bool store_scale(float d, uint8_t* to) {
  const uint16_t half = f32_to_f16(d);
  store_u16(half, to);
  return std::isfinite(f16_to_f32(half));
}

/// The block quantisers return false where the scale does not fit f16. These two follow ggml's reference
/// quantiser. Q8_0: d = max|x| / 127; q = round half away of x * (1/d), with the f32 d and not the stored f16
/// one.
bool quantize_q8_0(const float* values, uint8_t* block) {
  float amax = 0.0f;
  for (uint32_t i = 0; i < kBlock32; ++i) amax = std::fmax(amax, std::fabs(values[i]));
  const float d = amax / 127.0f;
  const float inverse = inverse_or_zero(d);
  for (uint32_t i = 0; i < kBlock32; ++i) {
    // |x/d| <= 127 before the two roundings, so at most 127.0001 after them.
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(round_half_away(values[i] * inverse)));
  }
  return store_scale(d, block);
}

/// Q4_0: d = m / -8 with m the first value of largest magnitude, sign kept; n = min(15, trunc(x * (1/d)
/// + 8.5)).
bool quantize_q4_0(const float* values, uint8_t* block) {
  float amax = 0.0f, signed_max = 0.0f;
  for (uint32_t i = 0; i < kBlock32; ++i) {
    if (std::fabs(values[i]) > amax) {
      amax = std::fabs(values[i]);
      signed_max = values[i];
    }
  }
  const float d = signed_max / -8.0f;
  const float inverse = inverse_or_zero(d);
  const auto code = [inverse](float x) {
    const int n = static_cast<int>(x * inverse + 8.5f);  // x/d in [-8, 8]: 0.49.. to 16.5
    return static_cast<uint8_t>(n < 15 ? n : 15);
  };
  for (int i = 0; i < 16; ++i) {
    block[2 + i] = static_cast<uint8_t>(code(values[i]) | code(values[i + 16]) << 4);
  }
  return store_scale(d, block);
}

Error non_finite(DType dtype, float value, uint64_t column) {
  return make_error(ErrorCode::kNumeric, "{} cannot hold {} (column {}): every weight must be finite",
                    dtype_name(dtype), value, column);
}

Error too_large(DType dtype, float value, uint64_t column) {
  return make_error(ErrorCode::kNumeric, "{} cannot hold {} (column {}): above the range of the type",
                    dtype_name(dtype), value, column);
}

/// F16 and BF16: NaN and infinity stay what they are, but a finite value never becomes infinite.
template <class Narrow, class Widen>
Status quantize_half(DType dtype, const float* values, uint64_t cols, Narrow narrow, Widen widen,
                     uint8_t* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    const uint16_t half = narrow(values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(widen(half))) return too_large(dtype, values[i], i);
    store_u16(half, out + 2 * i);
  }
  return {};
}

template <class QuantizeBlock>
Status quantize_blocks(DType dtype, const float* values, uint64_t cols, uint32_t block_cols,
                       uint32_t block_bytes, QuantizeBlock quantize_block, uint8_t* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    if (!std::isfinite(values[i])) return non_finite(dtype, values[i], i);
  }
  for (uint64_t begin = 0; begin < cols; begin += block_cols, out += block_bytes) {
    if (quantize_block(values + begin, out)) continue;
    uint64_t largest = begin;
    for (uint64_t i = begin; i < begin + block_cols; ++i) {
      if (std::fabs(values[i]) > std::fabs(values[largest])) largest = i;
    }
    return too_large(dtype, values[largest], largest);
  }
  return {};
}

template <class DequantizeBlock>
void dequantize_blocks(const uint8_t* in, uint64_t cols, uint32_t block_cols, uint32_t block_bytes,
                       DequantizeBlock dequantize_block, float* out) {
  for (uint64_t begin = 0; begin < cols; begin += block_cols, in += block_bytes)
    dequantize_block(in, out + begin);
}

}  // namespace

uint32_t dense_block_cols(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return 1;
    case DType::kQ8_0:
    case DType::kQ4_0:
      return kBlock32;
    case DType::kQ4_K:
    case DType::kQ6_K:
      return kKBlockCols;
    default:
      return 0;
  }
}

void dequantize_row(DType dtype, const std::byte* bytes, uint64_t cols, float* out) {
  const uint32_t block_cols = dense_block_cols(dtype);
  TERN_CHECK(block_cols != 0 && cols % block_cols == 0, "a dense type and whole blocks");
  const uint8_t* in = reinterpret_cast<const uint8_t*>(bytes);
  switch (dtype) {
    case DType::kF32:
      if (cols > 0) std::memcpy(out, in, cols * sizeof(float));
      break;
    case DType::kF16:
      for (uint64_t i = 0; i < cols; ++i) out[i] = f16_to_f32(load_u16(in + 2 * i));
      break;
    case DType::kBF16:
      for (uint64_t i = 0; i < cols; ++i) out[i] = bf16_to_f32(load_u16(in + 2 * i));
      break;
    case DType::kQ8_0:
      return dequantize_blocks(in, cols, block_cols, kQ8Bytes, dequantize_q8_0, out);
    case DType::kQ4_0:
      return dequantize_blocks(in, cols, block_cols, kQ4Bytes, dequantize_q4_0, out);
    case DType::kQ4_K:
      return dequantize_blocks(in, cols, block_cols, kQ4KBytes, dequantize_q4_k, out);
    case DType::kQ6_K:
      return dequantize_blocks(in, cols, block_cols, kQ6KBytes, dequantize_q6_k, out);
    default:
      break;
  }
}

Status quantize_row(DType dtype, const float* values, uint64_t cols, std::byte* bytes) {
  const uint32_t block_cols = dense_block_cols(dtype);
  if (block_cols != 0 && cols % block_cols != 0) {
    return make_error(ErrorCode::kUnsupported, "{} needs a number of columns that {} divides, found {}",
                      dtype_name(dtype), block_cols, cols);
  }
  uint8_t* out = reinterpret_cast<uint8_t*>(bytes);
  switch (dtype) {
    case DType::kF32:
      if (cols > 0) std::memcpy(out, values, cols * sizeof(float));
      return {};
    case DType::kF16:
      return quantize_half(dtype, values, cols, f32_to_f16, f16_to_f32, out);
    case DType::kBF16:
      return quantize_half(dtype, values, cols, f32_to_bf16, bf16_to_f32, out);
    case DType::kQ8_0:
      return quantize_blocks(dtype, values, cols, block_cols, kQ8Bytes, quantize_q8_0, out);
    case DType::kQ4_0:
      return quantize_blocks(dtype, values, cols, block_cols, kQ4Bytes, quantize_q4_0, out);
    case DType::kQ6_K:
      return quantize_blocks(dtype, values, cols, block_cols, kQ6KBytes, quantize_q6_k, out);
    default:
      return make_error(ErrorCode::kUnsupported,
                        "{} cannot be written: choose f32, f16, bf16, q8_0, q4_0 or q6_k", dtype_name(dtype));
  }
}

}  // namespace tern
