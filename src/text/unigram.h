// SPDX-License-Identifier: MIT
// The unigram model of SentencePiece: of all ways to cut a text into tokens the one with the highest sum of
// scores, by one pass from left to right (Viterbi). Called by Tokenizer for each stretch of normalized text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/byte_trie.h"
#include "text/token_map.h"
#include "text/tokenizer_spec.h"

namespace tern {

class UnigramModel {
 public:
  struct Scratch {
    struct Best {
      double score;   // of the best cut of the text up to here
      uint32_t from;  // where its last token begins; kOpen: not reached
      int32_t id;     // of its last token; -1: unknown
    };
    std::vector<Best> best;  // [text bytes + 1]
    std::vector<std::pair<int32_t, std::string_view>> path;
  };

  /// `tokens` must outlive the model. Errors: scores that are not finite, no unknown token and no byte
  /// tokens.
  static Result<UnigramModel> create(const TokenizerSpec& spec, const TokenBytes& tokens,
                                     const std::array<int32_t, 256>& byte_tokens);

  /// Appends the ids of `text`. Time: text.size() times the length of the longest token (bounded by
  /// Tokenizer).
  void encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  void find_best(std::string_view text, Scratch& scratch) const;

  ByteTrie trie_;
  std::vector<float> scores_;  // [vocab]
  std::array<int32_t, 256> byte_tokens_{};
  double unknown_score_ = 0;
  int32_t unknown_ = -1;
  bool byte_fallback_ = false, fuse_unknown_ = true, exact_ = false;
};

}  // namespace tern
