// SPDX-License-Identifier: MIT
// The motif of I2_S, TQ2_0, IQ2_BN and HF uint8: one two-bit field of consecutive bytes holds consecutive
// trits as codes 0, 1, 2 = -1, 0, +1; code 3 is undefined. The layouts differ only in which run goes to which
// field.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace tern {

/// trits[i] = code of bits (shift+1..shift) of bytes[i], minus 1, i < count. Returns false if a code was 3.
inline bool unpack_field(const uint8_t* bytes, uint64_t count, unsigned shift, int8_t* trits) {
  uint8_t undefined =
      0;  // bit 0 gathers "both bits set"; no early exit, so that the loop becomes vector code
  for (uint64_t i = 0; i < count; ++i) {
    const uint8_t code = (bytes[i] >> shift) & 3u;
    undefined |= code & (code >> 1);
    trits[i] = static_cast<int8_t>(code - 1);
  }
  return undefined == 0;
}

/// The first i < count whose field is 3, or count.
inline uint64_t find_undefined_field(const uint8_t* bytes, uint64_t count, unsigned shift) {
  uint64_t i = 0;
  while (i < count && ((bytes[i] >> shift) & 3u) != 3u) ++i;
  return i;
}

/// The reverse of unpack_field for trits in -1..1; the field's bits must be zero before.
inline void pack_field(const int8_t* trits, uint64_t count, unsigned shift, uint8_t* bytes) {
  for (uint64_t i = 0; i < count; ++i) bytes[i] |= static_cast<uint8_t>((trits[i] + 1) << shift);
}

/// bytes[i] = the codes of first[i], first[i + stride], first[i + 2 stride] and first[i + 3 stride] (counted
/// in trits, any sign), from the two most significant bits down, i < count: four runs at once, for trits in
/// -1..1.
inline void pack_bytes(const int8_t* first, int64_t stride, uint64_t count, uint8_t* bytes) {
  const int8_t *second = first + stride, *third = second + stride, *fourth = third + stride;
  for (uint64_t i = 0; i < count; ++i) {  // byte arithmetic alone, so that the loop becomes vector code
    uint8_t byte = static_cast<uint8_t>(first[i] + 1);
    byte = static_cast<uint8_t>(4 * byte + static_cast<uint8_t>(second[i] + 1));
    byte = static_cast<uint8_t>(4 * byte + static_cast<uint8_t>(third[i] + 1));
    bytes[i] = static_cast<uint8_t>(4 * byte + static_cast<uint8_t>(fourth[i] + 1));
  }
}

/// trits[4 i + f] = field f of bytes[i], minus 1 (code 3 gives 2), i < count: Q2_0 and MLX, by a table of all
/// bytes.
inline void unpack_bytes(const uint8_t* bytes, uint64_t count, int8_t* trits) {
  static constexpr auto kTrits = [] {
    std::array<std::array<int8_t, 4>, 256> table{};
    for (int byte = 0; byte < 256; ++byte) {
      for (int field = 0; field < 4; ++field)
        table[byte][field] = static_cast<int8_t>((byte >> 2 * field & 3) - 1);
    }
    return table;
  }();
  for (uint64_t i = 0; i < count; ++i) std::memcpy(trits + 4 * i, kTrits[bytes[i]].data(), 4);
}

/// The index of the first byte with a 3 in any of its four fields, or count.
inline uint32_t find_undefined_byte(const uint8_t* bytes, uint32_t count) {
  uint32_t i = 0;
  while (i < count && (bytes[i] & (bytes[i] >> 1) & 0x55u) == 0) ++i;
  return i;
}

}  // namespace tern
