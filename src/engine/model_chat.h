// SPDX-License-Identifier: MIT
// Which chat template a GGUF file is used with: collects the facts that text/chat_format.h decides by.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace tern {

/// `choice`: "" = by the file; otherwise a built-in template's name or the path of a template file.
/// Errors: those of resolve_chat_format(), and keys of the wrong type.
Result<ChatFormat> resolve_model_chat(const GgufFile& file, const Tokenizer& tokenizer,
                                      const std::string& choice);

/// Gives a template the texts of BOS and EOS; they borrow from the tokenizer. Empty where it has none.
void set_special_texts(const Tokenizer& tokenizer, ChatInput* input);

/// The tokens that end an answer in this format, beside the tokenizer's end tokens. As ids: an answer may
/// well spell
/// "</s>" with ordinary tokens.
std::vector<int32_t> chat_stop_ids(const ChatFormat& format, const Tokenizer& tokenizer);

}  // namespace tern
