// SPDX-License-Identifier: MIT
// safetensors: strict reader (pure parse over bytes) and writer. Source: FORMATS.md B.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"

namespace tern {

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::kF32;        // plain types only: F64 F32 F16 BF16 I8..I64 U8..U64 BOOL
  std::vector<uint64_t> shape;      // row-major, last entry contiguous; empty for a scalar
  std::span<const std::byte> data;  // borrowed; no alignment guaranteed: copy, do not cast
};

struct SafetensorsFile {
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__, in the order of the header
  std::vector<SafetensorsTensor> tensors;                     // by offset

  const SafetensorsTensor* find(std::string_view name) const;  // null where absent

 private:
  friend Result<SafetensorsFile> parse_safetensors(std::span<const std::byte>);
  std::vector<uint32_t> name_order_;  // indices into tensors, in the order of the names
};

/// Limits of the container. The header's is the format's own; the others are ours, far above any real file.
inline constexpr uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;
inline constexpr size_t kSafetensorsMaxMetadata = 65536;
inline constexpr size_t kSafetensorsMaxDims = 32;

/// The format's spelling of a plain dtype ("F32", "BOOL"), or "" for a type that safetensors files do not
/// have.
std::string_view safetensors_dtype_name(DType dtype);

/// Refuses: header longer than 100,000,000 or than the file, not UTF-8 JSON starting with '{', nesting,
/// duplicate keys, unknown dtype, shape*size overflow or mismatch, holes, overlaps, a last end that is not
/// the buffer's size. Each is an Error with the file offset or the tensor's name. Allocates at most a small
/// multiple of the header that is there.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes);

/// Writes atomically (temporary, fsync, rename). Tensors are laid out in the given order, without gaps; the
/// header is padded with spaces so that the data starts at a multiple of 8. Errors: kUsage for what the
/// reader would refuse (names, shape against bytes, duplicates), kIo with the path; nothing is left behind
/// then.
Status write_safetensors(const std::string& path, const std::vector<SafetensorsTensor>& tensors,
                         const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace tern
