// SPDX-License-Identifier: MIT
// A loaded model with its text side: tokenizer and chat template. What run, chat, tokenize and template
// share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/options.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace tern::cli {

struct TextFlags {
  std::string pre;            // --pre NAME: pre-tokenizer override
  std::string chat_template;  // --chat-template NAME|FILE
  void add_to(CLI::App& command);
};

/// The text side of a file, without its weights.
struct TextSide {
  std::shared_ptr<const Tokenizer> tokenizer;
  ChatFormat chat;                  // the template that is used, or why there is none
  std::vector<std::string> doubts;  // of both

  /// The template, or an Error that says why there is none.
  Result<ChatTemplate> require_chat() const;
};

/// Errors: those of the tokenizer; kUsage for an unknown template name.
Result<TextSide> load_text_side(const Weights& weights, const TextFlags& flags);

struct TextModel {
  LoadedModel model;
  TextSide text;
};
Result<TextModel> load_text_model(const ModelFlags& model, const TextFlags& text);

/// What the user wants said: PROMPT, -f FILE and piped input, joined by blank lines in this order. Standard
/// input is read where it is a pipe or a file, or where nothing else was given. Errors: kUsage where there is
/// nothing at all.
struct PromptFlags {
  std::string prompt;
  std::string file;
  void add_to(CLI::App& command);
  bool is_empty() const { return prompt.empty() && file.empty(); }
  Result<std::string> read() const;
};

/// Writes to stdout at once. False where nobody reads any more, or the disk is full.
bool write_out(std::string_view text);

}  // namespace tern::cli
