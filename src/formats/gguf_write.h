// SPDX-License-Identifier: MIT
// Writes GGUF v3 files. Atomic: the file appears under its name only when complete (temporary beside it,
// fsync, rename).
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/gguf.h"

namespace tern {

/// A metadata value to write; the alternative decides the type in the file.
using GgufWriteValue =
    std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string, uint64_t,
                 int64_t, double, std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>,
                 std::vector<std::string>, std::vector<bool>, std::vector<uint8_t>, std::vector<int8_t>,
                 std::vector<uint16_t>, std::vector<int16_t>, std::vector<uint64_t>, std::vector<int64_t>,
                 std::vector<double>>;

class GgufWriter {
 public:
  /// Keys are written in the order of their first set; a later set replaces the value.
  void set(std::string key, GgufWriteValue value);

  /// Announces a tensor; `produce` is called once during write() and must fill the span of exactly its byte
  /// size (tensors are produced one at a time, so memory stays at one tensor).
  using Produce = std::function<Status(std::span<std::byte>)>;
  /// Errors: kUsage for a name or shape that the reader refuses; kUnsupported for a type without an id.
  Status add_tensor(std::string name, DType dtype, std::vector<uint64_t> shape, Produce produce);

  /// Writes everything to `path`, alignment 32, padding zero: the same input gives the same bytes. Errors:
  /// kIo with the path (disk full, permission), kUsage for a key that the reader refuses, whatever `produce`
  /// returns; nothing is left behind then.
  Status write(const std::string& path) const;

  /// Everything in front of the tensor data, padded to the alignment, for whoever writes the data himself:
  /// tensors follow in the order they were added, each padded with zeros to the alignment. Errors: kUsage for
  /// a key that the reader refuses.
  Result<std::string> header() const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<uint64_t> shape;
    int32_t type_id;
    uint64_t byte_size;
    Produce produce;
  };
  std::vector<std::pair<std::string, GgufWriteValue>> metadata_;
  std::vector<Tensor> tensors_;
  std::set<std::string> names_;
};

}  // namespace tern
