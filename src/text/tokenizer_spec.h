// SPDX-License-Identifier: MIT
// What a tokenizer file says, in one plain struct that is the same for every source: GGUF metadata
// (engine/gguf_tokenizer.h), tokenizer.json, tiktoken ranks, SentencePiece models. Tokenizer::create() checks
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/pretokenize.h"
#include "text/unicode_tables.h"

namespace tern {

/// What a token is; the numbers are those of SentencePiece and of GGUF.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,      // stands for text that cannot be represented
  kControl = 3,      // never produced by plain text, no text of its own
  kUserDefined = 4,  // matched in text before anything else
  kUnused = 5,
  kByte = 6,  // text is <0x00> .. <0xFF>
};

enum class TokenizerModel : uint8_t {
  kByteBpe,  // BPE whose smallest parts are bytes
  kCharBpe,  // BPE whose smallest parts are characters (SentencePiece BPE)
  kUnigram,  // best sum of scores
};

/// Where the ranks of BPE merges come from.
enum class MergeRule : uint8_t {
  kListed,   // `merges`, in order
  kById,     // any two tokens whose joined bytes are a token; lower id first (tiktoken)
  kByScore,  // any two parts whose joined text is a token; higher score first (SentencePiece)
};

/// One step of normalization.
struct NormStep {
  enum class Kind : uint8_t {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStrip,          // white space at `left`, `right`
    kPrepend,        // `text`, where the rest is not empty and `scope` allows
    kReplace,        // every `text` by `with`
    kReplaceRegex,   // every match of `text` by `with`
    kSentencePiece,  // charsmap, extra white space, dummy prefix, escaped white space
  };
  /// Which stretches of text between special tokens get the prefix.
  enum class Scope : uint8_t { kEvery, kTextStart, kStartOrAfterControl };

  Kind kind = Kind::kNfc;
  std::string text = {};
  std::string with = {};
  bool left = false, right = false;  // kStrip
  Scope scope = Scope::kEvery;       // kPrepend, kSentencePiece
  bool unless_present = false;       // kPrepend: not where the text starts with it already
  // kSentencePiece
  std::string charsmap = {};  // precompiled_charsmap of the model file; empty: identity
  bool add_prefix = true;
  bool remove_extra_spaces = false;
  bool escape_spaces = true;  // ' ' becomes U+2581
};

/// How a special token is looked for in text; tokens without an entry use the defaults.
struct AddedToken {
  int32_t id = -1;
  bool lstrip = false, rstrip = false;  // white space beside it belongs to it
  bool single_word = false;             // not inside a word
  bool normalized = false;              // looked for in normalized text
};

struct TokenizerSpec {
  std::string source;  // "tokenizer.json", "GGUF": for error messages
  TokenizerModel model = TokenizerModel::kByteBpe;

  std::vector<std::string>
      tokens;  // [vocab] bytes of the token as the model sees them (U+2581 for a SentencePiece space)
  std::vector<TokenType> types;  // [vocab], or empty: all normal
  std::vector<float> scores;     // [vocab], or empty where the merge rule needs none
  MergeRule merge_rule = MergeRule::kListed;
  std::vector<std::pair<int32_t, int32_t>> merges;  // ids of the two parts, best first
  bool ignore_merges = false;                       // a pre-token that is a token is taken whole
  bool byte_fallback = false;                       // unknown characters become kByte tokens
  bool fuse_unknown = true;   // neighbouring unknown characters become one unknown token
  bool exact_scores = false;  // kUnigram: sum scores in double as tokenizer.json's authors do, not in float

  std::vector<NormStep> normalizer;
  std::vector<PreStep> pre_tokenizer;
  std::string pre_description;  // of the pre-tokenizer, for people
  UnicodeVersion unicode = UnicodeVersion::k15;

  std::vector<AddedToken> added;
  std::optional<int32_t> bos, eos, eot, eom, pad, unk;
  std::vector<int32_t> more_end_ids;    // further ids that end a generation
  std::vector<int32_t> prefix, suffix;  // what add_bos and add_eos put around the text; empty: {bos}, {eos}
  bool add_bos = false, add_eos = false;

  bool space_mark = false;           // U+2581 in token texts is written as a space
  bool strip_leading_space = false;  // one space at the very start of decoded text is not part of it

  std::vector<std::string> doubts;  // one line each, shown by `tern info`
};

}  // namespace tern
