// SPDX-License-Identifier: MIT
// Writes GGUF v3 files. Atomic: the file appears under its name only when complete (temporary beside it, fsync, rename).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/gguf.h"

namespace tern {

/// A metadata value to write; the alternative decides the type in the file.
using GgufWriteValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string,
                                    uint64_t, int64_t, double, std::vector<uint32_t>, std::vector<int32_t>,
                                    std::vector<float>, std::vector<std::string>, std::vector<bool>>;

class GgufWriter {
 public:
  void set(std::string key, GgufWriteValue value);  // keys are written in the order of their first set

  /// Announces a tensor; `produce` is called once during write() and must fill the span of exactly its byte size
  /// (tensors are produced one at a time, so memory stays at one tensor).
  using Produce = std::function<Status(std::span<std::byte>)>;
  Status add_tensor(std::string name, DType dtype, std::vector<uint64_t> shape, Produce produce);

  /// Writes everything to `path`. Errors: kIo with the path (disk full, permission); nothing is left behind then.
  Status write(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<uint64_t> shape;
    uint64_t byte_size;
    Produce produce;
  };
  std::vector<std::pair<std::string, GgufWriteValue>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace tern
