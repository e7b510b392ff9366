// SPDX-License-Identifier: MIT
// Any bytes into parse_gguf. A file that is accepted must also be what it claims: every view lies inside the
// input, every name is found again, every message is one line.
#include <cstdint>
#include <string>

#include "formats/gguf.h"

namespace {

using tern::GgufArray;
using tern::GgufFile;

class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) : bytes_(bytes) {}
  void check_inside(const void* data, size_t size) const {
    const auto* begin = static_cast<const std::byte*>(data);
    const bool inside =
        size == 0 || (begin >= bytes_.data() && begin + size <= bytes_.data() + bytes_.size());
    TERN_CHECK(inside, "a view outside the input");
  }

 private:
  std::span<const std::byte> bytes_;
};

void check_array(const Input& input, const GgufArray& array) {
  input.check_inside(array.bytes.data(), array.bytes.size());
  for (const std::string_view text : array.strings) input.check_inside(text.data(), text.size());
  const bool is_string = array.element_type == tern::GgufType::kString;
  TERN_CHECK(array.strings.size() == (is_string ? array.count : 0), "count of strings");
  TERN_CHECK(array.bytes.size() == array.count * tern::gguf_type_bytes(array.element_type),
             "bytes of an array");
}

void check_file(const Input& input, const GgufFile& file) {
  for (const auto& [key, value] : file.metadata) {
    TERN_CHECK(file.find(key) == &value, "a key that is not found again");
    if (const auto* text = std::get_if<std::string_view>(&value.data))
      input.check_inside(text->data(), text->size());
    if (const auto* array = std::get_if<GgufArray>(&value.data)) check_array(input, *array);
  }
  uint64_t end = 0;
  for (const auto& tensor : file.tensors) {
    TERN_CHECK(file.find_tensor(tensor.name) == &tensor, "a tensor that is not found again");
    TERN_CHECK(tensor.data.size() == tensor.byte_size && tensor.byte_size > 0, "size of a tensor");
    TERN_CHECK(tensor.offset % file.alignment == 0 && tensor.offset >= end, "place of a tensor");
    input.check_inside(tensor.data.data(), tensor.data.size());
    end = tensor.offset + tensor.byte_size;
    const auto bytes = tern::tensor_byte_size(tensor.dtype, tensor.rows(), tensor.cols());
    TERN_CHECK(bytes.ok() && *bytes == tensor.byte_size, "size formula");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = tern::parse_gguf(bytes);
  if (file.ok()) {
    check_file(Input(bytes), *file);
  } else {
    const std::string& message = file.error().message;
    TERN_CHECK(!message.empty() && message.find_first_of("\r\n") == std::string::npos,
               "message is not one line");
  }
  return 0;
}
