// SPDX-License-Identifier: MIT
// UTF-8 one character at a time, strict (no overlong forms, no surrogates, nothing above U+10FFFF). An
// invalid byte is a character of its own, so every byte string can be walked and put together again. Used by
// everything in text/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

/// The "code point" of a byte that is not part of valid UTF-8: one past the last real one, with no character
/// class.
constexpr uint32_t kInvalidCodePoint = 0x110000;

struct Utf8Char {
  uint32_t code_point;  // or kInvalidCodePoint
  uint32_t length;      // bytes, 1 to 4; 1 for an invalid byte
};

/// The character that starts at `p`, where p < end.
inline Utf8Char decode_utf8(const char* p, const char* end) {
  const auto byte = [p](int i) { return static_cast<uint8_t>(p[i]); };
  const auto tail = [&](int i) { return p + i < end && (byte(i) & 0xC0) == 0x80; };
  const uint32_t b = byte(0);
  if (b < 0x80) return {b, 1};
  if (b >= 0xC2 && b <= 0xDF && tail(1)) return {(b & 31) << 6 | (byte(1) & 63u), 2};
  if (b >= 0xE0 && b <= 0xEF && tail(1) && tail(2)) {
    const uint32_t c = (b & 15) << 12 | (byte(1) & 63u) << 6 | (byte(2) & 63u);
    if (c >= 0x800 && (c < 0xD800 || c > 0xDFFF)) return {c, 3};
  }
  if (b >= 0xF0 && b <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const uint32_t c = (b & 7) << 18 | (byte(1) & 63u) << 12 | (byte(2) & 63u) << 6 | (byte(3) & 63u);
    if (c >= 0x10000 && c <= 0x10FFFF) return {c, 4};
  }
  return {kInvalidCodePoint, 1};
}

inline Utf8Char decode_utf8(std::string_view text, size_t at) {
  return decode_utf8(text.data() + at, text.data() + text.size());
}

/// Appends a code point (at most U+10FFFF, not a surrogate).
inline void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
            static_cast<char>(0x80 | (c & 63))};
  } else {
    out += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
            static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
  }
}

/// True where every byte of `text` belongs to a valid character.
inline bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point == kInvalidCodePoint) return false;
    i += c.length;
  }
  return true;
}

}  // namespace tern
