// SPDX-License-Identifier: MIT
// Token bytes by id in one block of memory, and ids by bytes in one flat hash table. Immutable after it is
// built.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

/// A 64-bit hash of a short byte string, for tables in memory.
inline uint64_t hash_bytes(std::string_view s) {
  constexpr uint64_t kMul = 0x9E3779B97F4A7C15ull;
  uint64_t h = s.size() * kMul;
  const char* p = s.data();
  size_t n = s.size();
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word = 0;
    std::memcpy(&word, p, 8);
    h = (h ^ word) * kMul;
    h ^= h >> 29;
  }
  uint64_t word = 0;
  for (size_t i = 0; i < n; ++i) word |= uint64_t{static_cast<uint8_t>(p[i])} << (8 * i);
  h = (h ^ word) * kMul;
  return h ^ h >> 32;
}

/// The byte strings of all tokens: a span-like list in one allocation.
class TokenBytes {
 public:
  void reserve(size_t count, size_t bytes) {
    offsets_.reserve(count + 1);
    bytes_.reserve(bytes);
  }
  void push_back(std::string_view token) {
    bytes_.append(token);
    offsets_.push_back(bytes_.size());
  }
  size_t size() const { return offsets_.size() - 1; }
  std::string_view operator[](size_t id) const {
    return std::string_view(bytes_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }

 private:
  std::string bytes_;
  std::vector<uint64_t> offsets_{0};
};

/// Ids by bytes. Keys are read through the TokenBytes the map was filled from.
class TokenMap {
 public:
  /// Room for `count` keys.
  explicit TokenMap(size_t count = 0) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    slots_.assign(slots, {0, -1});
  }

  /// The id of `key`, or -1.
  int32_t find(const TokenBytes& tokens, std::string_view key) const {
    const uint64_t h = hash_bytes(key);
    for (size_t i = h & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[i];
      if (slot.id < 0) return -1;
      if (slot.hash == static_cast<uint32_t>(h >> 32) && tokens[slot.id] == key) return slot.id;
    }
  }

  /// Adds tokens[id]; returns the id that was there before (which stays), or -1.
  int32_t insert(const TokenBytes& tokens, int32_t id) {
    const std::string_view key = tokens[id];
    const uint64_t h = hash_bytes(key);
    for (size_t i = h & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[i];
      if (slot.id < 0) {
        slot = {static_cast<uint32_t>(h >> 32), id};
        return -1;
      }
      if (slot.hash == static_cast<uint32_t>(h >> 32) && tokens[slot.id] == key) return slot.id;
    }
  }

 private:
  struct Slot {
    uint32_t hash;  // upper half, saves most comparisons
    int32_t id;     // -1: empty
  };
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace tern
