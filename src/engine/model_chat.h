// SPDX-License-Identifier: MIT
// Which chat template a model file is used with: its own, the right one where its own is known to be wrong,
// one that the user names, or none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern {

struct ModelChat {
  std::optional<ChatTemplate> chat_template;  // absent for a base model
  std::string no_chat_reason;                 // then: why, and what to do
  std::vector<std::string> stops;             // texts that end an answer, beside the tokenizer's end tokens
  std::vector<std::string> doubts;
};

/// `choice`: "" = by the file; otherwise a built-in template's name or the path of a template file.
/// Errors: kUsage for a choice that is neither, kCorrupt for a template that does not parse.
Result<ModelChat> resolve_model_chat(const GgufFile& file, const Tokenizer& tokenizer,
                                     const std::string& choice);

}  // namespace tern
