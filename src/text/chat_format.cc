// SPDX-License-Identifier: MIT
// The built-in templates and the choice between them and a model's own.
#include "text/chat_format.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tern {
namespace {

constexpr BuiltinChatTemplate kBuiltins[] = {
    {"bitnet",
     "{% for message in messages %}"
     "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
     "BitNet-b1.58-2B-4T"},
    {"bitnet-no-space",
     "{% for message in messages %}"
     "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
     "BitNet-b1.58-2B-4T, without the space behind 'Assistant:' (the model then writes it itself)"},
    {"llama-3",
     "{{ bos_token }}{% for message in messages %}"
     "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + "
     "'<|eot_id|>' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
     "Llama-3 and models trained on from it (Llama3-8B-1.58)"},
    {"chatml",
     "{% for message in messages %}"
     "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
     "Qwen and models built on it (Bonsai)"},
    {"falcon3",
     "{% for message in messages %}"
     "{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
     "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
     "{% if message['role'] != 'assistant' or not loop.last %}{{ '\n' }}{% endif %}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
     "Falcon3"},
    {"zephyr",
     "{% for message in messages %}"
     "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
     "Zephyr and TinyLlama chat models"},
    {"plain",
     "{% for message in messages %}"
     "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '\n' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
     "models without special tokens for chats"},
};

// Texts that models end an answer with. One counts where the template writes it and the vocabulary has it.
constexpr std::string_view kEndMarks[] = {"<|eot_id|>",      "<|im_end|>", "<|end|>",
                                          "<|endoftext|>",   "</s>",       "<end_of_turn>",
                                          "<|end_of_text|>", "<|eom_id|>", "<|END_OF_TURN_TOKEN|>"};
// Marks of a turn: a template that writes one wants it to be one token.
constexpr std::string_view kTurnMarks[] = {"<|start_header_id|>", "<|im_start|>", "<|eot_id|>", "<|im_end|>"};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void add_stops(const ChatFormatFacts& facts, ChatFormat* format) {
  const std::string& source = format->chat_template->source();
  for (const auto mark : kEndMarks)
    if (contains(source, mark) && facts.has_token(mark)) format->stops.emplace_back(mark);
  // Llama-3 vocabularies end a chat turn with one token and a text with another; models stop at either.
  if (contains(source, "<|eot_id|>") && !contains(source, "<|end_of_text|>") &&
      facts.has_token("<|end_of_text|>"))
    format->stops.emplace_back("<|end_of_text|>");
  for (const auto mark : kTurnMarks) {
    if (contains(source, mark) && !facts.has_token(mark)) {
      format->doubts.push_back(fmt::format(
          "chat template: writes {}, which is no token of this model's vocabulary; the model was probably "
          "not trained with this template",
          mark));
    }
  }
}

Result<ChatFormat> with_source(const ChatFormatFacts& facts, std::string_view source, std::string name) {
  ChatFormat format;
  auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return Error(std::move(parsed).error()).in(name);
  format.chat_template = std::move(parsed).value();
  format.name = std::move(name);
  add_stops(facts, &format);
  return format;
}

Result<std::string> read_template_file(const std::string& path) {
  constexpr std::uintmax_t kMaxBytes = std::uintmax_t{1} << 20;  // far above the parser's own limit
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    std::string names;
    for (const auto& builtin : kBuiltins)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", builtin.name);
    return make_error(ErrorCode::kUsage, "--chat-template '{}': neither a file nor one of {}", path, names);
  }
  if (const auto size = std::filesystem::file_size(path, error); error || size > kMaxBytes)
    return make_error(ErrorCode::kUsage, "--chat-template '{}': more than {} bytes is no chat template", path,
                      kMaxBytes);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad() || !file.is_open())
    return make_error(ErrorCode::kIo, "--chat-template '{}': cannot be read", path);
  return text;
}

// BitNet-b1.58-2B-4T, whose published GGUF carries an obsolete template and nothing that says so.
bool is_bitnet_2b_4t(const ChatFormatFacts& facts) {
  const bool architecture = facts.architecture == "bitnet-b1.58" || facts.architecture == "bitnet-25" ||
                            facts.architecture == "bitnet";
  const bool shape = (facts.hidden_size == 0 || facts.hidden_size == 2560) &&
                     (facts.num_layers == 0 || facts.num_layers == 30);
  return architecture && shape && facts.vocab_size == 128256 && facts.has_token("<|eot_id|>");
}

bool is_obsolete_bitnet(std::string_view source) { return contains(source, "BITNETAssistant"); }

}  // namespace

std::span<const BuiltinChatTemplate> builtin_chat_templates() { return kBuiltins; }

const BuiltinChatTemplate* find_builtin_chat_template(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kBuiltins), std::end(kBuiltins), [&](const auto& b) { return b.name == name; });
  return found == std::end(kBuiltins) ? nullptr : found;
}

Result<ChatFormat> resolve_chat_format(const ChatFormatFacts& facts, std::string_view choice) {
  if (!choice.empty()) {
    if (const auto* builtin = find_builtin_chat_template(choice)) {
      return with_source(facts, builtin->source, std::string(choice));
    }
    TERN_TRY_ASSIGN(const std::string source, read_template_file(std::string(choice)));
    return with_source(facts, source, std::string(choice));
  }
  const bool has_own = facts.file_template.has_value() && !facts.file_template->empty();
  if (is_bitnet_2b_4t(facts) && (!has_own || is_obsolete_bitnet(*facts.file_template))) {
    TERN_TRY_ASSIGN(ChatFormat format,
                    with_source(facts, find_builtin_chat_template("bitnet")->source, "bitnet"));
    format.doubts.push_back(fmt::format(
        "chat template: {}; using the one BitNet-b1.58-2B-4T was trained with (--chat-template FILE "
        "overrides)",
        has_own ? "the file carries an obsolete one (Human: / BITNETAssistant:)" : "the file has none"));
    return format;
  }
  if (has_own) return with_source(facts, *facts.file_template, "the model's own chat template");
  ChatFormat base;
  base.no_chat_reason =
      "this is a base model: its file has no chat template, so it continues text and was not trained to "
      "answer; give it "
      "a text to continue, or force a chat with --chat-template NAME|FILE";
  return base;
}

}  // namespace tern
