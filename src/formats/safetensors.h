// SPDX-License-Identifier: MIT
// safetensors: strict reader (pure parse over bytes) and writer. Source: FORMATS.md B.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
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
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__
  std::vector<SafetensorsTensor> tensors;                     // by offset

  const SafetensorsTensor* find(std::string_view name) const;
};

/// Refuses: header longer than 100,000,000 or than the file, not UTF-8 JSON starting with '{', nesting, duplicate keys,
/// unknown dtype, shape*size overflow or mismatch, holes, overlaps, a last end that is not the buffer's size.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes);

/// Writes atomically (temporary, fsync, rename). Tensors are laid out in the given order.
Status write_safetensors(const std::string& path, const std::vector<SafetensorsTensor>& tensors,
                         const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace tern
