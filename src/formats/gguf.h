// SPDX-License-Identifier: MIT
// GGUF v3, strict: bytes <-> metadata and tensor infos. Knows sizes of types, not their meaning (that is dense.h and
// ternary/codec.h). parse() is pure and is what the fuzzer drives; Weights::open (weights.h) maps the file.
// Source: FORMATS.md A.1 (container, every refusal), A.2 (type ids, clashes resolved by byte span).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"

namespace tern {

/// Value type ids of the container (FORMATS.md A.1).
enum class GgufType : int32_t {
  kU8 = 0, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64,
};

/// An array value. Numbers stay in the file's bytes (unaligned: read by at()), strings are views into them.
struct GgufArray {
  GgufType element_type = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;        // numeric and bool elements, little-endian, no padding; empty for strings
  std::vector<std::string_view> strings;   // [count] for kString, borrowed from the file
};

/// One metadata value. Integers of every width are widened to u64/i64, floats to f64; `type` keeps what the file said.
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

  // Typed look-ups: an absent key gives nullopt, a key of another type an Error naming both types.
  Result<std::optional<uint64_t>> get_uint(std::string_view key) const;  // any unsigned or non-negative signed integer
  Result<std::optional<double>> get_float(std::string_view key) const;
  Result<std::optional<bool>> get_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> get_string(std::string_view key) const;
  Result<const GgufArray*> get_array(std::string_view key) const;  // null where absent

 private:
  friend Result<GgufFile> parse_gguf(std::span<const std::byte>);
  std::map<std::string, size_t, std::less<>> key_index_, tensor_index_;
};

/// Parses a whole file. Every refusal of FORMATS.md A.1 is an Error with the file offset, what was expected and found.
/// Allocates at most a small multiple of bytes.size(), whatever the header claims. The result borrows `bytes`.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes);

/// The id that GGUF gives to a dtype, or an Error where it has none (kHfU8).
Result<int32_t> gguf_type_id(DType dtype);

/// Bytes of a [rows, cols] tensor of `dtype` (whole-tensor trailers such as I2_S's 32 included, alignment not).
/// Errors: cols not a multiple of the block, overflow of 63 bits.
Result<uint64_t> tensor_byte_size(DType dtype, uint64_t rows, uint64_t cols);

}  // namespace tern
