// SPDX-License-Identifier: MIT
#include "engine/model_chat.h"

namespace tern {

Result<ChatFormat> resolve_model_chat(const GgufFile& file, const Tokenizer& tokenizer,
                                      const std::string& choice) {
  ChatFormatFacts facts;
  TERN_TRY_ASSIGN(const auto architecture, file.get_string("general.architecture"));
  facts.architecture = architecture.value_or("");
  TERN_TRY_ASSIGN(const auto hidden, file.get_uint(facts.architecture + ".embedding_length"));
  TERN_TRY_ASSIGN(const auto layers, file.get_uint(facts.architecture + ".block_count"));
  TERN_TRY_ASSIGN(const auto source, file.get_string("tokenizer.chat_template"));
  facts.vocab_size = static_cast<int64_t>(tokenizer.vocab_size());
  facts.hidden_size = static_cast<int64_t>(hidden.value_or(0));
  facts.num_layers = static_cast<int64_t>(layers.value_or(0));
  if (source) facts.file_template = std::string(*source);
  facts.has_token = [&tokenizer](std::string_view text) { return tokenizer.find(text).has_value(); };
  return resolve_chat_format(facts, choice);
}

void set_special_texts(const Tokenizer& tokenizer, ChatInput* input) {
  const auto text_of = [&](std::optional<int32_t> id) {
    return id ? tokenizer.token_bytes(*id, true) : std::string_view();
  };
  input->bos_token = text_of(tokenizer.bos_id());
  input->eos_token = text_of(tokenizer.eos_id());
}

std::vector<int32_t> chat_stop_ids(const ChatFormat& format, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string& text : format.stops) {
    if (const auto id = tokenizer.find(text)) ids.push_back(*id);
  }
  return ids;
}

}  // namespace tern
