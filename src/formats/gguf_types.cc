// SPDX-License-Identifier: MIT
// The tables of GGUF: value types, tensor type ids and what foreign ids mean, byte sizes of every DType.
// Source: FORMATS.md A.1 (value types), A.2 (ids and clashes), A.3 (block sizes).
#include "formats/gguf.h"

namespace tern {
namespace {

struct BlockSize {
  uint64_t cols;   // elements of one block, along a row
  uint64_t bytes;  // of one block
  uint64_t row_header_bytes = 0;
};

// Types that mix rows or have a trailer have no blocks within a row: whole_tensor_size handles them before.
BlockSize block_size(DType dtype) {
  switch (dtype) {
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return {1, 1};
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
    case DType::kU16:
      return {1, 2};
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return {1, 4};
    case DType::kF64:
    case DType::kI64:
    case DType::kU64:
      return {1, 8};
    case DType::kQ8_0:
      return {32, 34};
    case DType::kQ4_0:
      return {32, 18};
    case DType::kQ4_K:
      return {256, 144};
    case DType::kQ6_K:
      return {256, 210};
    case DType::kTQ1_0:
      return {256, 54};
    case DType::kTQ2_0:
      return {256, 66};
    case DType::kIQ1_BN:
      return {64, 13, 2};
    case DType::kIQ2_BN:
      return {64, 16, 4};
    case DType::kQ1_0:
      return {128, 18};
    case DType::kQ2_0_G64:
      return {64, 18};
    case DType::kQ2_0_G128:
      return {128, 34};
    case DType::kPTQ1_0:
      return {128, 28};
    case DType::kMlx1:
      return {32, 4};
    case DType::kMlx2:
      return {16, 4};
    case DType::kI2_S:
    case DType::kTL1:
    case DType::kTL2:
    case DType::kIQ2_BN_R4:
    case DType::kHfU8:
      break;
  }
  TERN_CHECK(false, "dtype without a block size");
  return {};
}

struct TypeId {
  int32_t id;
  DType dtype;
};

constexpr TypeId kTypeIds[] = {
    {0, DType::kF32},      {1, DType::kF16},         {2, DType::kQ4_0},      {8, DType::kQ8_0},
    {12, DType::kQ4_K},    {14, DType::kQ6_K},       {24, DType::kI8},       {25, DType::kI16},
    {26, DType::kI32},     {27, DType::kI64},        {28, DType::kF64},      {30, DType::kBF16},
    {34, DType::kTQ1_0},   {35, DType::kTQ2_0},      {36, DType::kI2_S},     {38, DType::kTL1},
    {39, DType::kTL2},     {41, DType::kQ1_0},       {42, DType::kQ2_0_G64}, {134, DType::kIQ1_BN},
    {135, DType::kIQ2_BN}, {142, DType::kQ2_0_G128}, {143, DType::kPTQ1_0},  {335, DType::kIQ2_BN_R4},
};

struct ForeignId {
  int32_t id;
  const char* meaning;
};

/// The other meaning of ids that have a dtype above.
constexpr ForeignId kOtherMeanings[] = {
    {39, "MXFP4 in llama.cpp"},
    {142, "IQ2_TN in old ik_llama"},
    {143, "IQ1_TN in old ik_llama"},
};

constexpr ForeignId kForeignIds[] = {
    {3, "Q4_1 in llama.cpp"},
    {4, "the removed Q4_2 of old llama.cpp"},
    {5, "the removed Q4_3 of old llama.cpp"},
    {6, "Q5_0 in llama.cpp"},
    {7, "Q5_1 in llama.cpp"},
    {9, "Q8_1 in llama.cpp, for activations only"},
    {10, "Q2_K in llama.cpp"},
    {11, "Q3_K in llama.cpp"},
    {13, "Q5_K in llama.cpp"},
    {15, "Q8_K in llama.cpp, for activations only"},
    {16, "IQ2_XXS in llama.cpp"},
    {17, "IQ2_XS in llama.cpp"},
    {18, "IQ3_XXS in llama.cpp"},
    {19, "IQ1_S in llama.cpp"},
    {20, "IQ4_NL in llama.cpp"},
    {21, "IQ3_S in llama.cpp"},
    {22, "IQ2_S in llama.cpp"},
    {23, "IQ4_XS in llama.cpp"},
    {29, "IQ1_M in llama.cpp"},
    {31, "the removed Q4_0_4_4 of old llama.cpp"},
    {32, "the removed Q4_0_4_8 of old llama.cpp"},
    {33, "the removed Q4_0_8_8 of old llama.cpp"},
    {37, "I8_S in bitnet.cpp, an activation buffer that no file should hold"},
    {40, "NVFP4 in llama.cpp but Q1_0 with groups of 32 in early Prism forks"},
    {136, "Q8_K64 in ik_llama, for activations only"},
    {147, "Q8_K16 in ik_llama, for activations only"},
};

// Bytes of a tensor beyond this limit are refused, so that sums of a few sizes cannot overflow.
constexpr uint64_t kMaxTensorBytes = (uint64_t{1} << 63) - 1;

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<uint32_t>(type);
  return index < std::size(kNames) ? kNames[index] : "?";
}

uint64_t gguf_type_bytes(GgufType type) {
  constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const auto index = static_cast<uint32_t>(type);
  return index < std::size(kBytes) ? kBytes[index] : 0;
}

Result<int32_t> gguf_type_id(DType dtype) {
  for (const TypeId& entry : kTypeIds) {
    if (entry.dtype == dtype) return entry.id;
  }
  return make_error(ErrorCode::kUnsupported, "GGUF has no tensor type for {}", dtype_name(dtype));
}

Result<DType> gguf_dtype(int32_t type_id) {
  for (const TypeId& entry : kTypeIds) {
    if (entry.id == type_id) return entry.dtype;
  }
  for (const ForeignId& entry : kForeignIds) {
    if (entry.id == type_id) {
      return make_error(ErrorCode::kUnsupported,
                        "type id {} is {}, which tern does not read (--type-id {}=TYPE overrides)", type_id,
                        entry.meaning, type_id);
    }
  }
  return make_error(
      ErrorCode::kUnsupported,
      "type id {} is not known to tern (a newer or private type of another engine), so the size of the "
      "tensor is unknown too (--type-id {}=TYPE names it)",
      type_id, type_id);
}

const char* gguf_other_meaning(int32_t type_id) {
  for (const ForeignId& entry : kOtherMeanings) {
    if (entry.id == type_id) return entry.meaning;
  }
  return nullptr;
}

namespace {

Error too_large(DType dtype, uint64_t rows, uint64_t cols) {
  return make_error(ErrorCode::kCorrupt, "a {} tensor of {} rows and {} columns has more than 2^63 bytes",
                    dtype_name(dtype), rows, cols);
}

/// `size` is of the elements, rows or columns of a [rows, cols] tensor.
Status check_divides(DType dtype, const char* what, uint64_t size, uint64_t multiple, uint64_t rows,
                     uint64_t cols) {
  if (size % multiple == 0) return {};
  return make_error(ErrorCode::kCorrupt, "{} needs a multiple of {} {}, found {} x {}", dtype_name(dtype),
                    multiple, what, rows, cols);
}

/// Sizes of the types that mix rows or have a trailer of 32 bytes with the scale.
Result<uint64_t> whole_tensor_size(DType dtype, uint64_t rows, uint64_t cols) {
  constexpr uint64_t kTrailerBytes = 32;
  uint64_t elements = 0;
  if (__builtin_mul_overflow(rows, cols, &elements) || elements > kMaxTensorBytes / 8)
    return too_large(dtype, rows, cols);
  switch (dtype) {
    case DType::kI2_S:
    case DType::kTL1:
      TERN_TRY(check_divides(dtype, "elements", elements, 4, rows, cols));
      return elements / 4 + kTrailerBytes;
    case DType::kTL2: {
      // Upstream's own formula, which takes the columns that are stored in pairs to be 256 whatever they are.
      constexpr uint64_t kPairsCols = 256;
      if (cols < kPairsCols) {
        return make_error(ErrorCode::kCorrupt, "a {} tensor needs {} columns or more, found {}",
                          dtype_name(dtype), kPairsCols, cols);
      }
      const uint64_t codes = (cols - kPairsCols) * rows / 3 * 5 / 8 + kPairsCols * rows / 2 * 4 / 8;
      return gguf_padded(codes, 32) + kTrailerBytes;
    }
    case DType::kIQ2_BN_R4:
      TERN_TRY(check_divides(dtype, "rows", rows, 4, rows, cols));
      TERN_TRY(check_divides(dtype, "columns", cols, 64, rows, cols));
      if (__builtin_mul_overflow(rows / 4, 16 + cols, &elements) || elements > kMaxTensorBytes)
        return too_large(dtype, rows, cols);
      return elements;
    default:  // kHfU8: four rows per row of bytes
      TERN_TRY(check_divides(dtype, "rows", rows, 4, rows, cols));
      return elements / 4;
  }
}

}  // namespace

Result<uint64_t> tensor_byte_size(DType dtype, uint64_t rows, uint64_t cols) {
  if (dtype == DType::kI2_S || dtype == DType::kTL1 || dtype == DType::kTL2 || dtype == DType::kIQ2_BN_R4 ||
      dtype == DType::kHfU8) {
    return whole_tensor_size(dtype, rows, cols);
  }
  uint64_t bytes = 0;
  const BlockSize block = block_size(dtype);
  if (cols % block.cols != 0) {
    return make_error(ErrorCode::kCorrupt, "{} has blocks of {} columns, found {} columns", dtype_name(dtype),
                      block.cols, cols);
  }
  uint64_t row_bytes = 0;
  if (__builtin_mul_overflow(cols / block.cols, block.bytes, &row_bytes) ||
      __builtin_add_overflow(row_bytes, block.row_header_bytes, &row_bytes) ||
      __builtin_mul_overflow(rows, row_bytes, &bytes) || bytes > kMaxTensorBytes) {
    return too_large(dtype, rows, cols);
  }
  return bytes;
}

}  // namespace tern
