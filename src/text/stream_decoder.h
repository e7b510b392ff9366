// SPDX-License-Identifier: MIT
// Token ids to text while they are generated: never half a character, and the same text as Tokenizer::decode
// of the whole. Pure push/finish; one per sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "text/tokenizer.h"
#include "text/utf8_sanitizer.h"

namespace tern {

class StreamDecoder {
 public:
  struct Options {
    bool render_special = false;  // as in DecodeOptions
    bool at_text_start = false;   // generated text continues a prompt, so a leading space is part of it
  };
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, Options options)
      : tokenizer_(std::move(tokenizer)), options_(options), at_start_(options.at_text_start) {}
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer)
      : StreamDecoder(std::move(tokenizer), Options()) {}

  /// The text that `id` completes: valid UTF-8, perhaps empty. Ids out of range give nothing.
  std::string push(int32_t id);
  /// What is left: U+FFFD where the last character is incomplete. The decoder starts anew.
  std::string finish();
  /// True where a character is incomplete, so that the next token belongs to it.
  bool in_character() const { return sanitizer_.pending() > 0; }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Options options_;
  bool at_start_;
  Utf8Sanitizer sanitizer_;
};

}  // namespace tern
