// SPDX-License-Identifier: MIT
// Text to token ids and back. Immutable after create(), so one tokenizer may serve any number of threads.
// Decides which special tokens text may contain, where spaces are added and removed, and which tokens end a
// generation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/tokenizer_spec.h"

namespace tern {

struct EncodeOptions {
  /// Whether the text of control tokens (<|eot_id|>, <s>) becomes their ids. False for text of untrusted
  /// origin. Texts of user-defined tokens always become their ids: they are ordinary vocabulary.
  bool parse_special = false;
  std::optional<bool> add_bos =
      {};  // default: as the file says. A BOS that the text itself starts with is not doubled
  std::optional<bool> add_eos = {};  // default: as the file says
  bool at_text_start = true;         // false: `text` continues other text, no leading space is added
};

struct DecodeOptions {
  bool render_special = false;  // control and unknown tokens give their text instead of nothing
  bool at_text_start = true;    // a leading space that encode() added is removed
  bool replace_invalid = true;  // bytes that are not valid UTF-8 become U+FFFD; false: returned as they are
};

class Tokenizer {
 public:
  /// Checks and indexes a spec. Errors: kCorrupt where it contradicts itself (sizes, ids out of range, a
  /// merge of unknown tokens, scores that are not finite), kUnsupported where it asks for what we cannot do.
  /// Memory: a small multiple of the spec.
  static Result<std::shared_ptr<const Tokenizer>> create(TokenizerSpec spec);
  ~Tokenizer();

  /// Ids of `text`, any bytes, valid UTF-8 or not. O(n log n) in the worst case, linear on ordinary text.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// Text of `ids`. Ids out of range give nothing. With default options the result is valid UTF-8.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  /// Bytes of one token, perhaps part of a character; empty for control and unknown tokens unless
  /// `render_special`, and for ids out of range. Lives as long as the tokenizer.
  std::string_view token_bytes(int32_t id, bool render_special = false) const;

  /// Appends what decode() writes for `id` to `out`, before replace_invalid. `at_start`: nothing was written
  /// before; cleared by the first token that writes something. For decoding token by token (StreamDecoder).
  void append_token(int32_t id, bool render_special, bool& at_start, std::string& out) const;

  size_t vocab_size() const;
  TokenType token_type(int32_t id) const;  // kUnused where out of range
  bool is_control(int32_t id) const { return token_type(id) == TokenType::kControl; }
  /// The token with exactly this text (special tokens first), as decode() would write it.
  std::optional<int32_t> find(std::string_view text) const;

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> eot_id() const;
  std::optional<int32_t> eom_id() const;
  std::optional<int32_t> pad_id() const;
  std::optional<int32_t> unk_id() const;
  /// Ids that end a generation, ascending: eos, eot, eom and special tokens with well-known texts such as
  /// <|im_end|>.
  std::span<const int32_t> end_ids() const;
  bool is_end(int32_t id) const;

  bool add_bos_default() const;
  bool add_eos_default() const;
  bool strips_leading_space() const;  // decode() removes one space at the start of a text

  /// One line for people: model, vocabulary, pre-tokenizer, Unicode version.
  std::string description() const;
  /// One line each: what was assumed, or is odd about the file.
  const std::vector<std::string>& doubts() const;

 private:
  friend class TokenizerBuilder;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace tern
