// SPDX-License-Identifier: MIT
// The inside of Tokenizer: filled once by tokenizer_create.cc, read by tokenizer.cc. Private to these two.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/special_tokens.h"
#include "text/token_map.h"
#include "text/tokenizer.h"
#include "text/unigram.h"

namespace tern {

struct Tokenizer::Impl {
  struct Encoder;

  TokenBytes model_bytes;                 // [vocab] as the model sees them; byte tokens as their byte
  std::optional<TokenBytes> space_bytes;  // [vocab] with U+2581 as a space; absent where it is the same
  std::vector<TokenType> types;           // [vocab]
  TokenMap vocab_map;                     // tokens that plain text may become
  TokenMap special_map;                   // control, unknown and user-defined tokens by their text
  std::array<int32_t, 256> byte_tokens;   // kByte token of each byte, or -1
  bool space_mark = false, strip_leading_space = false, ignore_merges = false;

  // Optional only because they have no default constructor; all but the unused model are set.
  std::optional<Normalizer> normalizer;
  std::optional<PreTokenizer> pre_tokenizer;
  std::optional<SpecialTokens> specials;             // looked for in text as it came
  std::optional<SpecialTokens> normalized_specials;  // looked for in normalized text
  std::deque<std::string> normalized_texts;          // what normalized_specials borrows
  std::optional<BpeModel> bpe;
  std::optional<UnigramModel> unigram;

  std::optional<int32_t> bos, eos, eot, eom, pad, unk;
  std::vector<int32_t> prefix, suffix, end_ids;
  bool add_bos = false, add_eos = false;
  std::string description;
  std::vector<std::string> doubts;

  bool is_special(int32_t id) const {
    return types[id] == TokenType::kControl || types[id] == TokenType::kUnknown;
  }
  const TokenBytes& shown_bytes() const { return space_bytes ? *space_bytes : model_bytes; }
  const CharClasses& classes() const { return pre_tokenizer->classes(); }
};

}  // namespace tern
