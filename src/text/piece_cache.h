// SPDX-License-Identifier: MIT
// Remembers, within one encode() call, where in the output the ids of a short pre-token stand: ordinary text
// repeats its words. Belongs to the call, so nothing is shared between threads. Private to tokenizer.cc.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace tern {

class PieceCache {
 public:
  static constexpr size_t kMaxKey = 16;  // bytes

  struct Entry {
    uint64_t head = 0,
             tail = 0;   // the piece's first and last bytes (overlapping), unique together with the length
    uint32_t at = 0;     // index in the output
    uint16_t count = 0;  // ids
    uint8_t length = 0;  // of the piece; 0: empty entry
  };

  /// Sized for a text of `bytes`: none for a few words, at most 384 KB.
  explicit PieceCache(size_t bytes) {
    if (bytes >= 256) entries_.resize(std::bit_ceil(std::min<size_t>(bytes / 8, 16384)));
  }

  /// Fills the key of `entry` and gives the place where it is or may be stored; null where it cannot be.
  Entry* place(std::string_view piece, Entry& key) {
    const size_t n = piece.size();
    if (entries_.empty() || n == 0 || n > kMaxKey) return nullptr;
    const char* p = piece.data();
    if (n >= 8) {
      std::memcpy(&key.head, p, 8);
      std::memcpy(&key.tail, p + n - 8, 8);
    } else if (n >= 4) {
      uint32_t head = 0, tail = 0;
      std::memcpy(&head, p, 4);
      std::memcpy(&tail, p + n - 4, 4);
      key.head = head;
      key.tail = tail;
    } else {
      key.head = static_cast<uint8_t>(p[0]) | static_cast<uint8_t>(p[n / 2]) << 8 |
                 static_cast<uint8_t>(p[n - 1]) << 16;
      key.tail = 0;
    }
    key.length = static_cast<uint8_t>(n);
    const uint64_t h = (key.head ^ std::rotl(key.tail, 29) ^ n) * 0x9E3779B97F4A7C15ull;
    return &entries_[h >> 40 & (entries_.size() - 1)];
  }

  static bool same(const Entry& a, const Entry& b) {
    return a.head == b.head && a.tail == b.tail && a.length == b.length;
  }

 private:
  std::vector<Entry> entries_;  // a power of two; a newer piece displaces an older one
};

}  // namespace tern
