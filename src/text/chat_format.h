// SPDX-License-Identifier: MIT
// Which chat template a model is used with: the one the user names, its own, the right one where its own is
// known to be wrong, or none. Decides from facts the caller reads out of a GGUF file or a checkpoint; called
// by the engine.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/chat_template.h"

namespace tern {

/// A template that tern itself knows.
struct BuiltinChatTemplate {
  std::string_view name;     // what --chat-template takes
  std::string_view source;   // Jinja
  std::string_view purpose;  // for lists: which models
};

/// All of them, in the order to show.
std::span<const BuiltinChatTemplate> builtin_chat_templates();
/// The template called `name`, or null.
const BuiltinChatTemplate* find_builtin_chat_template(std::string_view name);

/// What a model file says that decides about its chat template.
struct ChatFormatFacts {
  std::string architecture;                 // "bitnet-b1.58", "llama"...; of a checkpoint: its model_type
  int64_t vocab_size = 0;                   // tokens
  int64_t hidden_size = 0, num_layers = 0;  // 0 where unknown
  std::optional<std::string> file_template;
  std::function<bool(std::string_view)>
      has_token;  // whether the vocabulary has this text as one token; required
};

struct ChatFormat {
  std::optional<ChatTemplate> chat_template;  // absent for a base model
  std::string name;                           // of the built-in, the path of the file, or "the model's own"
  std::string no_chat_reason;                 // of a base model: one sentence, with what to do
  std::vector<std::string>
      stops;  // texts that end an answer, each a token of the vocabulary; the eos token besides
  std::vector<std::string> doubts;  // one line each, to show
};

/// Chooses by `choice`: empty = by the model, else a built-in name, else the path of a template file.
/// A model without a template is no error here: chat_template is absent and no_chat_reason says so.
/// Errors: kUsage for a choice that is neither a name nor a readable file; kCorrupt for a template that does
/// not parse, with its line. Threads: pure (reads the file of `choice`). Source: FORMATS.md A.4 (the 2B-4T
/// file's obsolete template) and B.6 (formats and stops per family).
Result<ChatFormat> resolve_chat_format(const ChatFormatFacts& facts, std::string_view choice);

}  // namespace tern
