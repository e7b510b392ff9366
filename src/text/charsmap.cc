// SPDX-License-Identifier: MIT
// Walks the double array. A unit has an offset to its children, the label of the edge into it, and a flag
// that a value unit hangs below; the layout is the one of the Darts-clone library, which SentencePiece uses.
#include "text/charsmap.h"

namespace tern {
namespace {

uint32_t load_u32(std::string_view bytes, size_t at) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return v;
}

bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label(uint32_t unit) { return unit & (0x80000000u | 0xFF); }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFFu; }

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob) {
  if (blob.size() < 8)
    return make_error(ErrorCode::kCorrupt, "character map of {} bytes, at least 8 expected", blob.size());
  const size_t trie_bytes = load_u32(blob, 0);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > blob.size() - 4) {
    return make_error(ErrorCode::kCorrupt, "character map: trie of {} bytes in a blob of {}", trie_bytes,
                      blob.size());
  }
  Charsmap map;
  map.units_.resize(trie_bytes / 4);
  for (size_t i = 0; i < map.units_.size(); ++i) map.units_[i] = load_u32(blob, 4 + 4 * i);
  map.replacements_ = blob.substr(4 + trie_bytes);
  if (map.replacements_.empty() || map.replacements_.back() != '\0') {
    return make_error(ErrorCode::kCorrupt, "character map: replacements do not end with a zero byte");
  }
  constexpr size_t kMaxReplacement =
      256;  // the longest of NFKC has 33 bytes; longer ones only serve to blow text up
  for (size_t i = 0, start = 0; i < map.replacements_.size(); ++i) {
    if (map.replacements_[i] != '\0') continue;
    if (i - start > kMaxReplacement) {
      return make_error(ErrorCode::kCorrupt, "character map: replacement of {} bytes, at most {} expected",
                        i - start, kMaxReplacement);
    }
    start = i + 1;
  }
  return map;
}

Charsmap::Match Charsmap::longest_prefix(std::string_view text) const {
  Match best;
  uint32_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    at ^= byte;
    if (at >= units_.size() || label(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (at >= units_.size()) break;
    const uint32_t start = value(units_[at]);
    if (start >= replacements_.size()) break;
    best.length = i + 1;
    best.replacement =
        std::string_view(replacements_.data() + start);  // the last byte of replacements_ is zero
  }
  return best;
}

}  // namespace tern
