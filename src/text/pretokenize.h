// SPDX-License-Identifier: MIT
// Cuts text into pre-tokens: the pieces that are tokenized one by one and never merge with each other.
// Decides where the cuts are, for the named patterns of GGUF files and for the steps of tokenizer.json.
// Called by Tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/unicode_tables.h"

namespace tern {

/// What becomes of the matches of a step and of the gaps between them (names of tokenizer.json).
enum class SplitBehavior : uint8_t { kIsolated, kRemoved, kContiguous, kMergedWithPrevious, kMergedWithNext };

/// A set of characters: class bits, single ASCII characters, ranges.
struct CharSet {
  uint8_t classes = 0;                                     // char_class bits, any of them
  std::string ascii = {};                                  // single ASCII characters
  std::vector<std::pair<uint32_t, uint32_t>> ranges = {};  // first, last code point
};

/// One step of pre-tokenization: how matches are found and what is done with them.
struct PreStep {
  enum class Kind : uint8_t {
    kGpt2,          // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    kLlama3,        // (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_run}|
                    // ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    kCharRun,       // \s?set{min_run,max_run}, the \s? only where space_prefix
    kWords,         // \w+|[^\w\s]+
    kLiteral,       // `text`
    kRegex,         // `text`, by PCRE2
    kByteAlphabet,  // no cut: the following steps see each byte as a character of the byte-level alphabet
                    // (bytes.h)
  };
  Kind kind = Kind::kGpt2;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            // gaps are the matches
  uint32_t min_run = 1;           // kCharRun, characters
  uint32_t max_run = UINT32_MAX;  // kCharRun; kLlama3: most numbers in one piece
  bool space_prefix = false;      // kCharRun
  CharSet set = {};               // kCharRun
  std::string text = {};          // kLiteral, kRegex
};

/// What a pre-tokenizer name of a GGUF file means.
struct PreRecipe {
  std::vector<PreStep> steps = {};
  bool ignore_merges = false;    // a pre-token that is a token is taken whole
  bool add_bos = false;          // default where the file says nothing
  std::string description = {};  // for people
  std::string doubt = {};        // empty, or one line on what is uncertain
};

/// The recipe of a GGUF `tokenizer.ggml.pre` name, or nullopt for a name we do not know. Beyond the names in
/// files: falcon3-bitnet and falcon_e-llama choose the other reading of falcon3 and falcon_e.
std::optional<PreRecipe> pre_recipe(std::string_view name);

/// All names pre_recipe() knows, separated by ", ", for error messages.
std::string known_pre_names();

/// The step for a regular expression of tokenizer.json: a hand-written splitter where the expression is one
/// of the well-known ones (some of them become several alternatives of one step), PCRE2 otherwise.
PreStep step_for_regex(std::string_view pattern);

/// Receives the pieces of split() in order.
class PieceSink {
 public:
  virtual void piece(std::string_view text) = 0;

 protected:
  ~PieceSink() = default;
};

/// Immutable; split() may be called from several threads at once.
class PreTokenizer {
 public:
  /// Errors: kUnsupported, a regular expression that PCRE2 refuses or reads differently from its authors.
  static Result<PreTokenizer> create(std::vector<PreStep> steps, UnicodeVersion version);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  /// Calls sink.piece() for each pre-token, views into `text`, in order; with no kRemoved step they join to
  /// `text`. Invalid bytes count as characters of no class. Time is linear in text.size() for every step but
  /// kRegex, whose single matches are limited: after a match that exceeds the limit the rest of the text is
  /// one piece.
  void split(std::string_view text, PieceSink& sink) const;

  bool empty() const;
  const CharClasses& classes() const;

 private:
  struct Impl;
  explicit PreTokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern
