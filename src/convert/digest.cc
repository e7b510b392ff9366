// SPDX-License-Identifier: MIT
#include "convert/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace tern {
namespace {

// Odd, about half their bits set. Two products with a rotation between them: after one alone, a change of the
// highest bits stays where a change of the next word could undo it.
constexpr uint64_t kFirst = 0x9FB21C651E98DF25u, kSecond = 0xD6E8FEB86659FD93u;

uint64_t load(const std::byte* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

uint64_t finalise(uint64_t z) {  // splitmix64's finaliser, a bijection
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

uint64_t byte_sum(uint64_t word) {  // of eight bytes; the sum fits 16 bits
  word = (word & 0x00FF00FF00FF00FFu) + ((word >> 8) & 0x00FF00FF00FF00FFu);
  return (word * 0x0001000100010001u) >> 48;
}

}  // namespace

void Digest::block(const std::byte* bytes) {
  for (size_t i = 0; i < 4; ++i) {
    lanes_[i] = std::rotl((lanes_[i] ^ load(bytes + 8 * i)) * kFirst, 32) * kSecond;
  }
}

void Digest::update(std::span<const std::byte> bytes) {
  const size_t filled = length_ % 32;
  length_ += bytes.size();
  if (filled != 0) {
    const size_t take = std::min(bytes.size(), 32 - filled);
    std::memcpy(tail_.data() + filled, bytes.data(), take);
    bytes = bytes.subspan(take);
    if (filled + take < 32) return;
    block(tail_.data());
  }
  for (; bytes.size() >= 32; bytes = bytes.subspan(32)) block(bytes.data());
  if (!bytes.empty()) std::memcpy(tail_.data(), bytes.data(), bytes.size());
}

std::string Digest::hex() const {
  Digest last = *this;
  const size_t filled = length_ % 32;
  std::fill(last.tail_.begin() + static_cast<std::ptrdiff_t>(filled), last.tail_.end(), std::byte{0});
  last.block(last.tail_.data());
  const uint64_t a = finalise(last.lanes_[0] ^ std::rotl(last.lanes_[1], 32) ^ length_);
  const uint64_t b = finalise(last.lanes_[2] ^ std::rotl(last.lanes_[3], 32) ^ a);
  return fmt::format("{:016x}{:016x}", finalise(a ^ b ^ last.lanes_[1]), b ^ finalise(last.lanes_[3] + a));
}

void count_trits(std::span<const int8_t> trits, TritCounts& counts) {
  constexpr uint64_t kOnes = 0x0101010101010101u;
  const auto* bytes = reinterpret_cast<const std::byte*>(trits.data());
  const size_t words = trits.size() / 8;
  uint64_t low = 0, high = 0, both = 0;  // of the codes t + 1
  for (size_t i = 0; i < words;) {
    uint64_t low8 = 0, high8 = 0, both8 = 0;  // byte counters: 255 words never overflow them
    for (const size_t end = std::min(words, i + 255); i < end; ++i) {
      const uint64_t t = load(bytes + 8 * i);
      // t + 1 for each byte: -1 is 0xFF, so an add without carries between bytes is needed.
      const uint64_t code = ((t & 0x7F7F7F7F7F7F7F7Fu) + kOnes) ^ (t & 0x8080808080808080u);
      low8 += code & kOnes;
      high8 += (code >> 1) & kOnes;
      both8 += (code >> 1) & code & kOnes;
    }
    low += byte_sum(low8);
    high += byte_sum(high8);
    both += byte_sum(both8);
  }
  for (size_t i = 8 * words; i < trits.size(); ++i) {
    low += trits[i] == 0 || trits[i] == 2;
    high += trits[i] == 1 || trits[i] == 2;
    both += trits[i] == 2;
  }
  counts.two += both;
  counts.zero += low - both;
  counts.plus += high - both;
  counts.minus += trits.size() - (low + high - both);
}

}  // namespace tern
