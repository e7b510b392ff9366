// SPDX-License-Identifier: MIT
// Checksums of the converter: of numbers, not of files, so that the same weights have the same digest in
// every container. Not cryptographic: they find damage and mix-ups, not forgery. Used by the writer's journal
// and by certificates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tern {

/// 128 bits over a stream of bytes; how the stream is cut into updates does not matter. Every step is a
/// bijection of its lane, so a change of any one byte changes the result. Some 10 GB/s.
class Digest {
 public:
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// 32 hex digits. May be called at any time; later updates go on from where the stream was.
  std::string hex() const;

 private:
  void block(const std::byte* bytes);  // 32 bytes
  std::array<uint64_t, 4> lanes_ = {0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                                    0x27D4EB2F165667C5u};
  std::array<std::byte, 32> tail_{};
  uint64_t length_ = 0;
};

/// How often each weight occurs.
struct TritCounts {
  uint64_t minus = 0, zero = 0, plus = 0, two = 0;
  uint64_t total() const { return minus + zero + plus + two; }
};

/// Adds the trits (-1..2) to `counts`.
void count_trits(std::span<const int8_t> trits, TritCounts& counts);

}  // namespace tern
