// SPDX-License-Identifier: MIT
// Builds GGUF bytes field by field, right or wrong as the test wants. Independent of the writer under src/,
// so that a shared mistake cannot hide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::test {

class GgufBuilder {
 public:
  /// Starts with the 24 bytes in front of the metadata.
  explicit GgufBuilder(uint64_t tensors = 0, uint64_t keys = 0, uint32_t version = 3) {
    raw("GGUF").u32(version).u64(tensors).u64(keys);
  }

  GgufBuilder& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  GgufBuilder& u8(uint8_t v) { return put(v); }
  GgufBuilder& u32(uint32_t v) { return put(v); }
  GgufBuilder& u64(uint64_t v) { return put(v); }
  GgufBuilder& string(std::string_view text) { return u64(text.size()).raw(text); }

  /// A key and its value's type; the value follows.
  GgufBuilder& key(std::string_view name, uint32_t type) { return string(name).u32(type); }
  /// A tensor info: type id as in the file.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type_id,
                      uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t size : shape) u64(size);
    return u32(type_id).u64(offset);
  }
  GgufBuilder& zeros(size_t count) { return raw(std::string(count, '\0')); }
  GgufBuilder& pad(size_t alignment = 32) {
    return zeros((alignment - bytes_.size() % alignment) % alignment);
  }

  size_t size() const { return bytes_.size(); }
  const std::string& text() const { return bytes_; }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_.data(), bytes_.size())); }

 private:
  template <class T>
  GgufBuilder& put(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    bytes_.append(bytes, sizeof(T));
    return *this;
  }
  std::string bytes_;
};

}  // namespace tern::test
