// SPDX-License-Identifier: MIT
// A scan for first bytes, then a walk down a trie: linear in the text for tokens of bounded length.
#include "text/special_tokens.h"

#include "text/normalize.h"
#include "text/utf8.h"

namespace tern {
namespace {

// Start of the character that ends at `end`, where end > 0.
size_t previous_char(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at + decode_utf8(text, at).length == end ? at : end - 1;
}

}  // namespace

SpecialTokens::SpecialTokens(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::vector<std::pair<std::string_view, int32_t>> keys;
  for (size_t i = 0; i < entries_.size(); ++i) {
    keys.emplace_back(entries_[i].text, static_cast<int32_t>(i));
    first_[static_cast<uint8_t>(entries_[i].text[0])] |= entries_[i].control ? 2 : 3;
  }
  trie_ = ByteTrie(std::move(keys));
}

bool SpecialTokens::fits(const Entry& entry, std::string_view text, size_t begin, size_t end,
                         const CharClasses& classes) const {
  if (!entry.token.single_word) return true;
  const auto is_word = [&](size_t at) {
    return (classes.of(decode_utf8(text, at).code_point) & char_class::kWord) != 0;
  };
  if (begin > 0 && is_word(previous_char(text, begin))) return false;
  return end == text.size() || !is_word(end);
}

bool SpecialTokens::next(std::string_view text, size_t from, bool control, const CharClasses& classes,
                         Match& match) const {
  const uint8_t wanted = control ? 2 : 1;
  for (size_t at = from; at < text.size(); ++at) {
    if ((first_[static_cast<uint8_t>(text[at])] & wanted) == 0) continue;
    int32_t best = -1;
    size_t best_end = 0;
    uint32_t node = trie_.start(static_cast<uint8_t>(text[at]));
    for (size_t i = at + 1; node != ByteTrie::kNone; ++i) {
      const int32_t value = trie_.value(node);
      if (value >= 0 && (control || !entries_[value].control) &&
          fits(entries_[value], text, at, i, classes)) {
        best = value;
        best_end = i;
      }
      node = i < text.size() ? trie_.step(node, static_cast<uint8_t>(text[i])) : ByteTrie::kNone;
    }
    if (best < 0) continue;
    const AddedToken& token = entries_[best].token;
    match = {at, best_end, token.id};
    while (token.lstrip && match.begin > from) {
      const size_t before = previous_char(text, match.begin);
      if (before < from || !is_white_space(decode_utf8(text, before).code_point)) break;
      match.begin = before;
    }
    while (token.rstrip && match.end < text.size()) {
      const Utf8Char c = decode_utf8(text, match.end);
      if (!is_white_space(c.code_point)) break;
      match.end += c.length;
    }
    return true;
  }
  return false;
}

}  // namespace tern
