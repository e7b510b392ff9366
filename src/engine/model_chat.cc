// SPDX-License-Identifier: MIT
#include "engine/model_chat.h"

namespace tern {

Result<ModelChat> resolve_model_chat(const GgufFile& file, const Tokenizer&, const std::string& choice) {
  ModelChat chat;
  if (!choice.empty()) return make_error(ErrorCode::kUsage, "--chat-template '{}': unknown", choice);
  TERN_TRY_ASSIGN(const auto source, file.get_string("tokenizer.chat_template"));
  if (!source) {
    chat.no_chat_reason = "this is a base model";
    return chat;
  }
  TERN_TRY_ASSIGN(chat.chat_template, ChatTemplate::parse(*source));
  return chat;
}

}  // namespace tern
