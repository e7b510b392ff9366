// SPDX-License-Identifier: MIT
// Any bytes into parse_safetensors. A file that is accepted must be gapless, sized as its shapes say, and
// every name must be found again; every message is one line.
#include <cstdint>
#include <string>

#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace {

void check_file(std::span<const std::byte> bytes, const tern::SafetensorsFile& file) {
  uint64_t total = 0;
  for (const auto& tensor : file.tensors) {
    TERN_CHECK(file.find(tensor.name) == &tensor, "a tensor that is not found again");
    uint64_t elements = 1;
    for (const uint64_t size : tensor.shape) elements *= size;
    const auto byte_size = tern::tensor_byte_size(tensor.dtype, 1, elements);
    TERN_CHECK(byte_size.ok() && *byte_size == tensor.data.size(), "size of a tensor");
    total += tensor.data.size();
  }
  TERN_CHECK(total <= bytes.size(), "more data than the file has");
  const std::byte* next = bytes.data() + bytes.size() - total;
  for (const auto& tensor : file.tensors) {
    TERN_CHECK(tensor.data.empty() || tensor.data.data() == next, "place of a tensor");
    next += tensor.data.size();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = tern::parse_safetensors(bytes);
  if (file.ok()) {
    check_file(bytes, *file);
  } else {
    const std::string& message = file.error().message;
    TERN_CHECK(!message.empty() && message.find_first_of("\r\n") == std::string::npos,
               "message is not one line");
  }
  return 0;
}
