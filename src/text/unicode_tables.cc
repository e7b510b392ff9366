// SPDX-License-Identifier: MIT
// Expands the compact ranges of unicode_tables.inc into a two-level table. Done once per version.
#include "text/unicode_tables.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <string>

namespace tern {
namespace {

#include "text/unicode_tables.inc"

void apply_changes(std::span<const uint32_t> changes, std::vector<uint8_t>& flat) {
  for (size_t i = 0; i + 1 < changes.size(); i += 2) {
    const uint32_t last = changes[i + 1] >> 8;
    std::fill(flat.begin() + changes[i], flat.begin() + last + 1, static_cast<uint8_t>(changes[i + 1]));
  }
}

}  // namespace

CharClasses::CharClasses(UnicodeVersion version) : version_(version) {
  std::vector<uint8_t> flat(kInvalidCodePoint + 256, 0);  // the last page is the one of kInvalidCodePoint
  for (size_t i = 0; i < std::size(kClasses14); ++i) {
    const uint32_t first = kClasses14[i] >> 8;
    const uint32_t end = i + 1 < std::size(kClasses14) ? kClasses14[i + 1] >> 8 : kInvalidCodePoint;
    std::fill(flat.begin() + first, flat.begin() + end, static_cast<uint8_t>(kClasses14[i]));
  }
  if (version >= UnicodeVersion::k15) apply_changes(kChanges15, flat);
  if (version >= UnicodeVersion::k16) apply_changes(kChanges16, flat);

  std::map<std::string_view, uint16_t> rows;
  for (size_t page = 0; page < index_.size(); ++page) {
    const std::string_view bytes(reinterpret_cast<const char*>(flat.data()) + page * 256, 256);
    const auto [row, added] = rows.emplace(bytes, static_cast<uint16_t>(rows.size()));
    if (added) pages_.insert(pages_.end(), bytes.begin(), bytes.end());
    index_[page] = row->second;
  }
}

const CharClasses& char_classes(UnicodeVersion version) {
  static const CharClasses k14(UnicodeVersion::k14), k15(UnicodeVersion::k15), k16(UnicodeVersion::k16);
  return version == UnicodeVersion::k14 ? k14 : version == UnicodeVersion::k15 ? k15 : k16;
}

bool may_change_in_nfc(uint32_t code_point) {
  if (code_point < 0x300) return false;
  const uint32_t key = code_point << 8 | 255;
  const auto* after = std::upper_bound(std::begin(kMaybeNotNfc), std::end(kMaybeNotNfc), key);
  return (after[-1] & 1) != 0;  // the first run starts at code point 0
}

}  // namespace tern
