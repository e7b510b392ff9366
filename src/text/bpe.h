// SPDX-License-Identifier: MIT
// Byte-pair encoding: joins the neighbours whose pair ranks best until no pair is left. One engine for listed
// merges (GPT-2), for merges by id (tiktoken) and by score (SentencePiece); the three differ only in how the
// pair table is filled. Called by Tokenizer for each pre-token.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "text/token_map.h"
#include "text/tokenizer_spec.h"

namespace tern {

/// From a pair of symbols to the symbol that replaces it: open addressing, immutable once built.
class PairTable {
 public:
  struct Merge {
    uint32_t rank;   // lower is joined first
    int32_t result;  // symbol, -1: no such pair
  };
  void reserve(size_t pairs);
  /// Of equal pairs the first one inserted stays.
  void insert(int32_t left, int32_t right, uint32_t rank, int32_t result);
  Merge find(int32_t left, int32_t right) const {
    if (slots_.empty()) return {UINT32_MAX, -1};
    for (size_t i = slot(left, right);; i = (i + 1) & mask_) {
      const Slot& s = slots_[i];
      if (s.left == left && s.right == right) return {s.rank, s.result};
      if (s.left < 0) return {UINT32_MAX, -1};
    }
  }

 private:
  struct Slot {
    int32_t left, right;  // left -1: empty
    uint32_t rank;
    int32_t result;
  };
  size_t slot(int32_t left, int32_t right) const {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull ^ key >> 29) >> 20) & mask_;
  }
  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t mask_ = 0, used_ = 0;
};

class BpeModel {
 public:
  /// Working memory of encode(), reused between pieces of one call.
  struct Scratch {
    std::vector<int32_t> symbols;
    std::vector<uint32_t> starts, previous, next;
    struct Candidate {
      uint32_t rank, at;
      int32_t left, right, result;
    };
    std::vector<Candidate> heap;
    std::unordered_map<int32_t, std::pair<int32_t, int32_t>> parts_of_unused;
    bool last_was_unknown = false;  // kept between pieces that belong together
    bool saw_unknown = false;       // set by encode() where a character had no token
  };

  /// `tokens` are the bytes of spec's tokens (byte tokens as one byte), `map` finds the ones that plain text
  /// may become; both must outlive the model. Errors: a merge of or into unknown tokens, scores that are not
  /// numbers.
  static Result<BpeModel> create(const TokenizerSpec& spec, const TokenBytes& tokens, const TokenMap& map,
                                 const std::array<int32_t, 256>& byte_tokens);

  /// Appends the ids of one piece. Time O(n log n).
  void encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

  /// True where U+2581 stands only at the start of tokens, so text may be cut before it without changing any
  /// id.
  bool can_cut_before_space_mark() const { return cut_before_space_mark_; }
  /// Bytes that no token stands for (kByteBpe).
  int missing_bytes() const;

 private:
  Status fill_listed(const TokenizerSpec& spec);
  Status fill_by_id(const TokenizerSpec& spec);
  Status fill_by_score(const TokenizerSpec& spec);
  int32_t part_symbol(std::string_view part) const;
  int32_t char_symbol(std::string_view character) const;
  void split(std::string_view piece, Scratch& scratch) const;
  PairTable::Merge candidate(int32_t left, int32_t right, Scratch& scratch) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void emit(int32_t symbol, std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;

  const TokenBytes* tokens_ = nullptr;
  const TokenMap* map_ = nullptr;
  bool bytes_ = true;
  bool byte_fallback_ = false, fuse_unknown_ = true, has_unused_ = false, cut_before_space_mark_ = false;
  int32_t unknown_ = -1;
  std::vector<bool> unused_;                 // [vocab]
  std::array<int32_t, 256> byte_symbols_{};  // kByteBpe: the token of each byte, or -1
  std::array<int32_t, 256> byte_tokens_{};   // byte fallback: the kByte token of each byte, or -1
  std::array<int32_t, 128> ascii_symbols_{};
  // Characters that are parts of tokens without being tokens: symbols vocab, vocab + 1, ... (fill_by_score)
  TokenBytes extra_chars_;
  TokenMap extra_map_;
  PairTable pairs_;
};

}  // namespace tern
