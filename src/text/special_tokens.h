// SPDX-License-Identifier: MIT
// Finds special tokens in text. Decides which match where several could (the leftmost, then the longest) and
// which white space beside them belongs to them. Called by Tokenizer before anything else is done to text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/tokenizer_spec.h"
#include "text/unicode_tables.h"

namespace tern {

class SpecialTokens {
 public:
  struct Entry {
    std::string_view text;  // borrowed, must outlive the object
    AddedToken token;
    bool control = false;  // only looked for where control tokens are allowed
  };
  struct Match {
    size_t begin = 0, end = 0;  // with the white space that belongs to it
    int32_t id = -1;
  };

  explicit SpecialTokens(std::vector<Entry> entries);
  bool empty() const { return entries_.empty(); }

  /// The next special token at or after `from`. False where there is none.
  bool next(std::string_view text, size_t from, bool control, const CharClasses& classes, Match& match) const;

 private:
  bool fits(const Entry& entry, std::string_view text, size_t begin, size_t end,
            const CharClasses& classes) const;

  std::vector<Entry> entries_;
  ByteTrie trie_;                     // text -> index of entries_
  std::array<uint8_t, 256> first_{};  // bit 0: starts a token that is not control; bit 1: starts any token
};

}  // namespace tern
