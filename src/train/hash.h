// SPDX-License-Identifier: MIT
// A fast 64-bit hash of bytes, the same on every machine: names cached files, decides which documents are
// held out, and notices damaged files. Not for adversaries. Used by everything in train/ that keys or checks
// bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tern::train {

/// Spreads every bit of `x` over the whole word (the finalizer of splitmix64); a bijection.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Hash of everything added, in order; how the bytes were divided into calls does not matter.
class Hash64 {
 public:
  void add(std::span<const std::byte> bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      if (filled_ == 0 && bytes.size() >= 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data(), 8);  // little-endian machines only, as all of tern
        take(word);
        bytes = bytes.subspan(8);
      } else {
        partial_ |= static_cast<uint64_t>(bytes[0]) << (8 * filled_);
        bytes = bytes.subspan(1);
        if (++filled_ == 8) {
          take(partial_);
          partial_ = 0;
          filled_ = 0;
        }
      }
    }
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }
  /// Text with its length, so that neighbours cannot run into each other.
  void add_text(std::string_view text) {
    add_value(text.size());
    add(text);
  }
  void add_value(uint64_t value) { add(std::as_bytes(std::span(&value, 1))); }

  uint64_t value() const { return mix64(mix64(state_ ^ partial_) + size_); }

 private:
  void take(uint64_t word) { state_ = std::rotl(state_ ^ mix64(word + kStep), 27) * 0x9E3779B97F4A7C15u; }
  static constexpr uint64_t kStep = 0xD1B54A32D192ED03u;
  uint64_t state_ = 0x243F6A8885A308D3u, partial_ = 0, size_ = 0;
  unsigned filled_ = 0;
};

inline uint64_t hash64(std::string_view text) {
  Hash64 hash;
  hash.add(text);
  return hash.value();
}

/// The hash as a number of [0, 1).
constexpr double unit_interval(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

}  // namespace tern::train
