// SPDX-License-Identifier: MIT
// Character classes of three Unicode versions. The version is a property of a tokenizer, because libraries
// that made the reference token ids used different ones (4,348 letters differ between 14 and 15). Data:
// unicode_tables.inc.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "text/utf8.h"

namespace tern {

enum class UnicodeVersion : uint8_t { k14 = 14, k15 = 15, k16 = 16 };

/// Bits of a character's class. Letter, number, punctuation, mark and symbol exclude each other.
namespace char_class {
constexpr uint8_t kLetter = 1;       // \p{L}
constexpr uint8_t kNumber = 2;       // \p{N}
constexpr uint8_t kSpace = 4;        // \s: property White_Space (U+180E is not one)
constexpr uint8_t kPunctuation = 8;  // \p{P}
constexpr uint8_t kMark = 16;        // \p{M}
constexpr uint8_t kSymbol = 32;      // \p{S}
constexpr uint8_t kWord = 64;        // \w
}  // namespace char_class

/// Look-up of character classes in one Unicode version; about 60 KB, immutable after construction.
class CharClasses {
 public:
  explicit CharClasses(UnicodeVersion version);

  /// Class bits of a code point up to kInvalidCodePoint, which has none.
  uint8_t of(uint32_t code_point) const {
    return pages_[size_t{index_[code_point >> 8]} << 8 | (code_point & 255)];
  }
  UnicodeVersion version() const { return version_; }

 private:
  UnicodeVersion version_;
  std::array<uint16_t, (kInvalidCodePoint >> 8) + 1> index_;  // page of 256 code points -> row of pages_
  std::vector<uint8_t> pages_;                                // [rows, 256]
};

/// The table of a version: built on first use, immutable, shared by all tokenizers. Thread-safe.
const CharClasses& char_classes(UnicodeVersion version);

/// False only where NFC of the character, alone or beside others, is surely itself.
bool may_change_in_nfc(uint32_t code_point);

}  // namespace tern
