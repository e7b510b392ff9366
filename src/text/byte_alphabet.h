// SPDX-License-Identifier: MIT
// The alphabet of byte-level vocabularies: each of the 256 bytes written as one printable character. Bytes
// 21-7E, A1-AC and AE-FF stand for themselves (as Latin-1); the other 68 become U+0100, U+0101, ... in order.
// Source: GPT-2's encoder; the texts of tokenizer.json and of GGUF files with tokenizer.ggml.model = gpt2 use
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern {

/// The code point that stands for a byte.
constexpr uint32_t byte_to_alphabet(uint8_t byte) {
  if (byte >= 0x21 && byte <= 0x7E) return byte;
  if (byte >= 0xA1 && byte != 0xAD) return byte;
  if (byte < 0x21) return 0x100u + byte;               // 0x100..0x120
  if (byte <= 0xA0) return 0x100u + 33 + byte - 0x7F;  // 0x121..0x142
  return 0x143;                                        // 0xAD
}

/// The byte a code point stands for, or -1.
constexpr int alphabet_to_byte(uint32_t c) {
  if ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD)) return static_cast<int>(c);
  if (c >= 0x100 && c <= 0x120) return static_cast<int>(c - 0x100);
  if (c >= 0x121 && c <= 0x142) return static_cast<int>(c - 0x121 + 0x7F);
  return c == 0x143 ? 0xAD : -1;
}

/// Any bytes as text in the alphabet.
std::string alphabet_of_bytes(std::string_view bytes);

/// The bytes of a token's text in the alphabet, or nullopt where a character is not of the alphabet.
std::optional<std::string> bytes_of_alphabet(std::string_view text);

}  // namespace tern
