// SPDX-License-Identifier: MIT
// Short pieces are merged by looking through an array for the best pair; long ones (a megabyte of one letter
// is a legal piece) by a heap over a linked list, so that the time stays O(n log n). Equal ranks: the
// leftmost pair first.
#include "text/bpe.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";
constexpr uint32_t kEnd = UINT32_MAX;
// Up to this many symbols the quadratic search is faster than the heap (at 32 symbols about 500 comparisons).
constexpr size_t kShort = 32;

bool mark_only_in_front(std::string_view token) {
  size_t i = 0;
  while (token.substr(i).starts_with(kSpaceMark)) i += kSpaceMark.size();
  return token.find(kSpaceMark, i) == token.npos;
}

}  // namespace

void PairTable::reserve(size_t pairs) {
  size_t slots = 16;
  while (slots < pairs * 2) slots *= 2;
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots, Slot{-1, -1, 0, -1});
  old.swap(slots_);
  mask_ = slots - 1;
  used_ = 0;
  for (const Slot& s : old) {
    if (s.left >= 0) insert(s.left, s.right, s.rank, s.result);
  }
}

void PairTable::insert(int32_t left, int32_t right, uint32_t rank, int32_t result) {
  if (used_ * 2 >= slots_.size()) reserve(std::max<size_t>(16, used_ * 2));
  size_t i = slot(left, right);
  for (; slots_[i].left >= 0; i = (i + 1) & mask_) {
    if (slots_[i].left == left && slots_[i].right == right) return;
  }
  slots_[i] = {left, right, rank, result};
  ++used_;
}

Result<BpeModel> BpeModel::create(const TokenizerSpec& spec, const TokenBytes& tokens, const TokenMap& map,
                                  const std::array<int32_t, 256>& byte_tokens) {
  BpeModel model;
  model.tokens_ = &tokens;
  model.map_ = &map;
  model.bytes_ = spec.model == TokenizerModel::kByteBpe;
  model.byte_fallback_ = spec.byte_fallback;
  model.fuse_unknown_ = spec.fuse_unknown;
  model.unknown_ = spec.unk.value_or(-1);
  model.byte_tokens_ = byte_tokens;
  model.unused_.resize(spec.tokens.size());
  for (size_t id = 0; id < spec.types.size(); ++id) {
    model.unused_[id] = spec.types[id] == TokenType::kUnused;
    model.has_unused_ = model.has_unused_ || model.unused_[id];
  }
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    model.byte_symbols_[b] = map.find(tokens, std::string_view(&byte, 1));
  }
  switch (spec.merge_rule) {
    case MergeRule::kListed:
      TERN_TRY(model.fill_listed(spec));
      break;
    case MergeRule::kById:
      TERN_TRY(model.fill_by_id(spec));
      break;
    case MergeRule::kByScore:
      TERN_TRY(model.fill_by_score(spec));
      break;
  }
  for (int b = 0; b < 128; ++b) {
    const char byte = static_cast<char>(b);
    model.ascii_symbols_[b] = model.part_symbol(std::string_view(&byte, 1));
  }
  return model;
}

Status BpeModel::fill_listed(const TokenizerSpec& spec) {
  const int32_t vocab = static_cast<int32_t>(tokens_->size());
  pairs_.reserve(spec.merges.size());
  cut_before_space_mark_ = true;
  std::string joined;
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    const auto [left, right] = spec.merges[i];
    if (left < 0 || right < 0 || left >= vocab || right >= vocab) {
      return make_error(ErrorCode::kCorrupt, "merge {}: ids {} and {} in a vocabulary of {}", i, left, right,
                        vocab);
    }
    joined.assign((*tokens_)[left]).append((*tokens_)[right]);
    const int32_t result = map_->find(*tokens_, joined);
    if (result < 0) {
      return make_error(ErrorCode::kCorrupt, "merge {}: tokens {} and {} join to {} bytes that are no token",
                        i, left, right, joined.size());
    }
    cut_before_space_mark_ = cut_before_space_mark_ && mark_only_in_front(joined);
    pairs_.insert(left, right, static_cast<uint32_t>(i), result);
  }
  return {};
}

Status BpeModel::fill_by_id(const TokenizerSpec&) {
  for (int b = 0; b < 256; ++b) {
    if (byte_symbols_[b] < 0) return make_error(ErrorCode::kCorrupt, "no rank for the byte 0x{:02X}", b);
  }
  for (size_t id = 0; id < tokens_->size(); ++id) {
    const std::string_view token = (*tokens_)[id];
    if (map_->find(*tokens_, token) != static_cast<int32_t>(id)) continue;  // special
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const int32_t left = map_->find(*tokens_, token.substr(0, cut));
      if (left < 0) continue;
      const int32_t right = map_->find(*tokens_, token.substr(cut));
      if (right >= 0) pairs_.insert(left, right, static_cast<uint32_t>(id), static_cast<int32_t>(id));
    }
  }
  return {};
}

Status BpeModel::fill_by_score(const TokenizerSpec& spec) {
  const size_t vocab = tokens_->size();
  std::vector<float> order;
  order.reserve(vocab);
  for (size_t id = 0; id < vocab; ++id) order.push_back(spec.scores[id]);
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  const auto rank_of = [&](size_t id) {
    return static_cast<uint32_t>(
        std::lower_bound(order.begin(), order.end(), spec.scores[id], std::greater<>()) - order.begin());
  };
  const auto mergeable = [&](size_t id) {
    return map_->find(*tokens_, (*tokens_)[id]) == static_cast<int32_t>(id);
  };

  // Single characters inside tokens that are no tokens themselves still are parts that merge.
  std::vector<std::string_view> missing;
  for (size_t id = 0; id < vocab; ++id) {
    if (!mergeable(id)) continue;
    const std::string_view token = (*tokens_)[id];
    for (size_t i = 0, n = 0; i < token.size(); i += n) {
      n = decode_utf8(token, i).length;
      if (map_->find(*tokens_, token.substr(i, n)) < 0) missing.push_back(token.substr(i, n));
    }
  }
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  extra_map_ = TokenMap(missing.size());
  for (const std::string_view c : missing) extra_chars_.push_back(c);
  for (size_t i = 0; i < missing.size(); ++i) extra_map_.insert(extra_chars_, static_cast<int32_t>(i));

  cut_before_space_mark_ = true;
  for (size_t id = 0; id < vocab; ++id) {
    if (!mergeable(id)) continue;
    const std::string_view token = (*tokens_)[id];
    cut_before_space_mark_ = cut_before_space_mark_ && mark_only_in_front(token);
    for (size_t cut = decode_utf8(token, 0).length; cut < token.size();
         cut += decode_utf8(token, cut).length) {
      const int32_t left = part_symbol(token.substr(0, cut));
      if (left < 0) continue;
      const int32_t right = part_symbol(token.substr(cut));
      if (right >= 0) pairs_.insert(left, right, rank_of(id), static_cast<int32_t>(id));
    }
  }
  return {};
}

// The symbol of a part of a token: a token, or a character that is none.
int32_t BpeModel::part_symbol(std::string_view part) const {
  const int32_t id = map_->find(*tokens_, part);
  if (id >= 0 || extra_chars_.size() == 0) return id;
  const int32_t extra = extra_map_.find(extra_chars_, part);
  return extra < 0 ? -1 : static_cast<int32_t>(tokens_->size()) + extra;
}

int32_t BpeModel::char_symbol(std::string_view character) const {
  const uint8_t first = static_cast<uint8_t>(character[0]);
  return first < 0x80 ? ascii_symbols_[first] : part_symbol(character);
}

int BpeModel::missing_bytes() const {
  return bytes_ ? static_cast<int>(std::count(byte_symbols_.begin(), byte_symbols_.end(), -1)) : 0;
}

void BpeModel::split(std::string_view piece, Scratch& s) const {
  s.symbols.clear();
  s.starts.clear();
  for (size_t i = 0, n = 1; i < piece.size(); i += n) {
    if (!bytes_) n = decode_utf8(piece, i).length;
    s.symbols.push_back(bytes_ ? byte_symbols_[static_cast<uint8_t>(piece[i])]
                               : char_symbol(piece.substr(i, n)));
    s.starts.push_back(static_cast<uint32_t>(i));
  }
  s.starts.push_back(static_cast<uint32_t>(piece.size()));
}

PairTable::Merge BpeModel::candidate(int32_t left, int32_t right, Scratch& scratch) const {
  if (left < 0 || right < 0) return {UINT32_MAX, -1};
  const PairTable::Merge merge = pairs_.find(left, right);
  if (has_unused_ && merge.result >= 0 && unused_[merge.result])
    scratch.parts_of_unused[merge.result] = {left, right};
  return merge;
}

void BpeModel::merge_short(Scratch& s) const {
  PairTable::Merge merges[kShort];  // [i]: of symbols i and i + 1
  size_t n = s.symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) merges[i] = candidate(s.symbols[i], s.symbols[i + 1], s);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].result < 0) break;
    s.symbols[best] = merges[best].result;
    for (size_t i = best + 1; i + 1 < n; ++i) {
      s.symbols[i] = s.symbols[i + 1];
      s.starts[i] = s.starts[i + 1];
      merges[i - 1] = merges[i];
    }
    s.starts[n - 1] = s.starts[n];
    --n;
    if (best > 0) merges[best - 1] = candidate(s.symbols[best - 1], s.symbols[best], s);
    if (best + 1 < n) merges[best] = candidate(s.symbols[best], s.symbols[best + 1], s);
  }
  s.symbols.resize(n);
}

void BpeModel::merge_long(Scratch& s) const {
  const uint32_t n = static_cast<uint32_t>(s.symbols.size());
  s.previous.resize(n);
  s.next.resize(n);
  s.heap.clear();
  const auto later = [](const Scratch::Candidate& a, const Scratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  const auto add = [&](uint32_t at, uint32_t after) {
    const PairTable::Merge m = candidate(s.symbols[at], s.symbols[after], s);
    if (m.result < 0) return false;
    s.heap.push_back({m.rank, at, s.symbols[at], s.symbols[after], m.result});
    return true;
  };
  for (uint32_t i = 0; i < n; ++i) {
    s.previous[i] = i == 0 ? kEnd : i - 1;
    s.next[i] = i + 1 < n ? i + 1 : kEnd;
    if (i + 1 < n) add(i, i + 1);
  }
  std::make_heap(s.heap.begin(), s.heap.end(), later);
  constexpr int32_t kGone = -2;
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), later);
    const Scratch::Candidate c = s.heap.back();
    s.heap.pop_back();
    const uint32_t right = s.next[c.at];
    // Stale where one of the two has been joined to something else since.
    if (s.symbols[c.at] != c.left || right == kEnd || s.symbols[right] != c.right) continue;
    s.symbols[c.at] = c.result;
    s.symbols[right] = kGone;
    s.next[c.at] = s.next[right];
    if (s.next[right] != kEnd) s.previous[s.next[right]] = c.at;
    if (s.previous[c.at] != kEnd && add(s.previous[c.at], c.at))
      std::push_heap(s.heap.begin(), s.heap.end(), later);
    if (s.next[c.at] != kEnd && add(c.at, s.next[c.at])) std::push_heap(s.heap.begin(), s.heap.end(), later);
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i = s.next[i]) {
    s.symbols[kept] = s.symbols[i];
    s.starts[kept++] = s.starts[i];
    if (s.next[i] == kEnd) break;
  }
  s.starts[kept] = s.starts[n];
  s.symbols.resize(kept);
}

void BpeModel::emit(int32_t symbol, std::string_view text, Scratch& s, std::vector<int32_t>& ids) const {
  const int32_t vocab = static_cast<int32_t>(tokens_->size());
  if (symbol >= 0 && symbol < vocab) {
    if (has_unused_ && unused_[symbol]) {
      // An unused token serves as a step between others only: give back the parts it was made of.
      if (const auto parts = s.parts_of_unused.find(symbol); parts != s.parts_of_unused.end()) {
        const auto [left, right] = parts->second;  // both are shorter than the symbol, so this ends
        const size_t cut = left < vocab ? (*tokens_)[left].size() : extra_chars_[left - vocab].size();
        emit(left, text.substr(0, cut), s, ids);
        emit(right, text.substr(cut), s, ids);
        return;
      }
    }
    ids.push_back(symbol);
    s.last_was_unknown = false;
    return;
  }
  if (byte_fallback_) {
    const bool complete = std::all_of(text.begin(), text.end(),
                                      [&](char c) { return byte_tokens_[static_cast<uint8_t>(c)] >= 0; });
    if (complete) {
      for (const char c : text) ids.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
      s.last_was_unknown = false;
      return;
    }
  }
  s.saw_unknown = true;
  if (unknown_ < 0 || (s.last_was_unknown && fuse_unknown_)) return;
  ids.push_back(unknown_);
  s.last_was_unknown = true;
}

void BpeModel::encode(std::string_view piece, Scratch& s, std::vector<int32_t>& ids) const {
  // Offsets are 32 bits: a longer piece is cut, which no real text meets.
  constexpr size_t kMaxPiece = size_t{1} << 31;
  while (piece.size() > kMaxPiece) {
    encode(piece.substr(0, kMaxPiece), s, ids);
    piece.remove_prefix(kMaxPiece);
  }
  if (has_unused_) s.parts_of_unused.clear();
  split(piece, s);
  if (s.symbols.size() <= kShort) {
    merge_short(s);
  } else {
    merge_long(s);
  }
  for (size_t i = 0; i < s.symbols.size(); ++i) {
    emit(s.symbols[i], piece.substr(s.starts[i], s.starts[i + 1] - s.starts[i]), s, ids);
  }
}

}  // namespace tern
