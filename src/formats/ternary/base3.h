// SPDX-License-Identifier: MIT
// The motif of TQ1_0 and IQ1_BN: five trits as a base-3 number v in 0..242, stored as the byte ceil(256 v /
// 243), so that multiplying by powers of 3 mod 256 brings each digit to the top. 243 of the 256 bytes are
// produced; 13 are not.
#pragma once

#include <array>
#include <cstdint>

namespace tern {

inline constexpr uint32_t kBase3Values = 243;
inline constexpr uint8_t kNoBase3Value = 255;

/// The byte of v, v < 243. Distinct for distinct v since 256/243 > 1.
constexpr uint8_t base3_byte(uint32_t v) {
  return static_cast<uint8_t>((256 * v + kBase3Values - 1) / kBase3Values);
}

/// v of a byte, or kNoBase3Value for the 13 bytes that no v produces.
inline constexpr std::array<uint8_t, 256> kBase3Value = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNoBase3Value);
  for (uint32_t v = 0; v < kBase3Values; ++v) values[base3_byte(v)] = static_cast<uint8_t>(v);
  return values;
}();

inline constexpr std::array<uint8_t, 5> kPowersOf3 = {1, 3, 9, 27, 81};

}  // namespace tern
