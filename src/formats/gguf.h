// SPDX-License-Identifier: MIT
// GGUF v3, strict: bytes <-> metadata and tensor infos. Knows sizes of types, not their meaning (that is
// dense.h and ternary/codec.h). parse() is pure and is what the fuzzer drives; Weights::open (weights.h) maps
// the file. Source: FORMATS.md A.1 (container, every refusal), A.2 (type ids, clashes resolved by byte span).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"

namespace tern {

/// Value type ids of the container, 0 to 12 (FORMATS.md A.1).
// clang-format off
enum class GgufType : int32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
// clang-format on

/// Limits of the container, shared by reader and writer. The first four are ggml's (FORMATS.md A.1); the
/// counts are ours, far above any real model, so that a hostile file costs little time.
inline constexpr uint64_t kGgufMaxKeyBytes = 65535;
inline constexpr uint64_t kGgufMaxTensorNameBytes = 63;
inline constexpr uint64_t kGgufMaxStringBytes = uint64_t{1} << 30;
inline constexpr uint64_t kGgufMaxArrayCount = uint64_t{1} << 30;
inline constexpr uint64_t kGgufMaxKeys = 65536;
inline constexpr uint64_t kGgufMaxTensors = 131072;
inline constexpr uint64_t kGgufDefaultAlignment = 32;

/// "u32", "string"...; "?" for a value that is no type.
std::string_view gguf_type_name(GgufType type);

/// Bytes of one value of a fixed-size type; 0 for string, array and values that are no type.
uint64_t gguf_type_bytes(GgufType type);

/// An array value. Numbers stay in the file's bytes (unaligned: read by at()), strings are views into them.
struct GgufArray {
  GgufType element_type = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;       // numbers and bools, little-endian, packed; empty for strings
  std::vector<std::string_view> strings;  // [count] for kString, borrowed from the file

  /// Element `index` < count of a numeric array; T is the C++ type of element_type (uint8_t for bool).
  template <class T>
  T at(uint64_t index) const {
    TERN_CHECK(sizeof(T) == gguf_type_bytes(element_type) && index < count,
               "wrong type or index of a GGUF array");
    T value;
    std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
    return value;
  }
};

/// One metadata value. Integers of every width are widened to u64/i64, floats to f64; `type` keeps what the
/// file said.
struct GgufValue {
  GgufType type = GgufType::kU8;
  std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray> data;
};

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  int32_t type_id = 0;              // as in the file
  std::vector<uint64_t> shape;      // GGUF order: shape[0] = K, the contiguous one; 1 to 4 entries
  uint64_t offset = 0;              // from the first byte of the data section
  uint64_t byte_size = 0;           // by the type's formula, without alignment padding
  std::span<const std::byte> data;  // borrowed from the parsed bytes

  uint64_t rows() const;  // product of shape[1..]
  uint64_t cols() const { return shape.empty() ? 1 : shape[0]; }
};

struct GgufFile {
  uint32_t version = 3;
  uint64_t alignment = 32;
  std::vector<std::pair<std::string, GgufValue>> metadata;  // file order
  std::vector<GgufTensorInfo> tensors;                      // file order
  uint64_t data_offset = 0;                                 // of the data section, from the file's start

  const GgufValue* find(std::string_view key) const;  // null where absent
  const GgufTensorInfo* find_tensor(std::string_view name) const;

  // Typed look-ups: an absent key gives nullopt, a key of another type an Error naming both types. get_uint
  // takes any unsigned or non-negative signed integer.
  Result<std::optional<uint64_t>> get_uint(std::string_view key) const;
  Result<std::optional<double>> get_float(std::string_view key) const;
  Result<std::optional<bool>> get_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> get_string(std::string_view key) const;
  Result<const GgufArray*> get_array(std::string_view key) const;  // null where absent

  /// Call after changing metadata or tensors: the look-ups above use an index. Refuses duplicate names.
  Status index_names();

 private:
  std::vector<uint32_t> key_order_, tensor_order_;  // indices in the order of the names
};

/// What the user knows better than the file.
struct GgufReadOptions {
  /// Type ids to read as another type, whatever they mean elsewhere: for private ids of forks, and where a
  /// clash cannot be decided. The byte span must still fit.
  std::vector<std::pair<int32_t, DType>> types;
};

/// Parses a whole file (versions 2 and 3, which have the same layout). Every refusal of FORMATS.md A.1 is an
/// Error with the file offset, what was expected and found. Allocates at most a small multiple of
/// bytes.size(), whatever the header claims. The result borrows `bytes`.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const GgufReadOptions& options = {});

/// The id that GGUF gives to a dtype, or an Error where it has none (kHfU8, MLX). Q2_0 with groups of 128 is
/// written as the Prism fork's 142, which nothing else of that size shares, not as its early 42.
Result<int32_t> gguf_type_id(DType dtype);

/// The dtype of an id. Id 42 gives kQ2_0_G64; only the byte span can tell it from kQ2_0_G128. Ids 39, 142 and
/// 143 give kTL2, kQ2_0_G128 and kPTQ1_0; other engines' types of these ids show by their span
/// (gguf_other_meaning). Errors: kUnsupported for every id that tern does not read, with what the id means in
/// which engine.
Result<DType> gguf_dtype(int32_t type_id);

/// What another engine means by an id that has a dtype here too, or null: "MXFP4 in llama.cpp" for 39.
const char* gguf_other_meaning(int32_t type_id);

/// `bytes` rounded up to a multiple of `alignment` (a power of two); bytes < 2^63, alignment < 2^32.
constexpr uint64_t gguf_padded(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

/// Bytes of a [rows, cols] tensor of `dtype` (whole-tensor trailers such as I2_S's 32 included, alignment
/// not). Errors: cols not a multiple of the block, overflow of 63 bits.
Result<uint64_t> tensor_byte_size(DType dtype, uint64_t rows, uint64_t cols);

}  // namespace tern
