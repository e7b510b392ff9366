// SPDX-License-Identifier: MIT
#include "core/printable.h"

#include <fmt/format.h>

#include <cstdint>

namespace tern {
namespace {

struct Character {
  size_t bytes;  // length of the sequence, 0 where it is not well formed
  uint32_t code_point;
};

// The sequence at the start of `text`, which is not empty. Unicode 15, table 3-7.
Character first_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {1, lead};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
  uint32_t code_point = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return {0, 0};
    code_point = code_point << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (overlong || surrogate || code_point > 0x10ffff) return {0, 0};
  return {length, code_point};
}

bool is_plain(uint32_t code_point) {
  const bool control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
  return !control && code_point != 0x2028 && code_point != 0x2029;
}

}  // namespace

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    const size_t length = character.bytes == 0 ? 1 : character.bytes;
    std::string piece;
    if (character.bytes == 0 || !is_plain(character.code_point)) {
      for (size_t i = 0; i < length; ++i) piece += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i]));
    } else if (text[0] == '\\') {
      piece = "\\\\";
    } else {
      piece = text.substr(0, length);
    }
    if (out.size() + piece.size() > max_bytes) return out + "...";
    out += piece;
    text.remove_prefix(length);
  }
  return out;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.bytes == 0) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.bytes == 0 || !is_plain(character.code_point)) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

}  // namespace tern
