// SPDX-License-Identifier: MIT
#include "cli/text_model.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "cli/terminal.h"
#include "engine/gguf_tokenizer.h"
#include "engine/model_chat.h"

namespace tern::cli {

void TextFlags::add_to(CLI::App& command) {
  command.add_option("--pre", pre,
                     "pre-tokenizer, instead of what the file says (llama-bpe, qwen2, gpt-2, ...)");
  command.add_option("--chat-template", chat_template,
                     "a built-in template's name or a file, instead of the model's own");
}

void PromptFlags::add_to(CLI::App& command) {
  command.add_option("PROMPT,-p,--prompt", prompt, "the text");
  command.add_option("-f,--file", file,
                     "a file with the text (- for stdin), after PROMPT where both are given");
}

Result<std::string> PromptFlags::read() const {
  std::string text = prompt;
  const auto append = [&text](const std::string& part) {
    if (!text.empty() && !part.empty()) text += "\n\n";
    text += part;
  };
  if (!file.empty()) {
    TERN_TRY_ASSIGN(const std::string part, read_text(file));
    append(part);
  }
  struct stat input{};
  const bool is_piped =
      ::fstat(STDIN_FILENO, &input) == 0 && (S_ISFIFO(input.st_mode) || S_ISREG(input.st_mode));
  if (file != "-" && (is_piped || text.empty())) {
    if (text.empty() && stdin_is_terminal()) print_note("(type the prompt, end with Ctrl-D)");
    pollfd input_ready{STDIN_FILENO, POLLIN, 0};
    if (!text.empty() && ::poll(&input_ready, 1, 1000) == 0) {
      print_note("(reading standard input too; </dev/null where there is nothing to read)");
    }
    TERN_TRY_ASSIGN(std::string part, read_text("-"));
    while (!part.empty() && (part.back() == '\n' || part.back() == '\r')) part.pop_back();
    append(part);
  }
  if (text.empty())
    return make_error(ErrorCode::kUsage, "no text: give it as PROMPT, with -f FILE, or on stdin");
  return text;
}

Result<ChatTemplate> TextSide::require_chat() const {
  if (chat.chat_template) return *chat.chat_template;
  return make_error(ErrorCode::kUnsupported, "{}", chat.no_chat_reason);
}

Result<TextSide> load_text_side(const Weights& weights, const TextFlags& flags) {
  TextSide side;
  auto tokenizer = tokenizer_from_gguf(weights.gguf(), {.pre = flags.pre});
  if (!tokenizer.ok()) return std::move(tokenizer).error().in(weights.path());
  side.tokenizer = std::move(tokenizer).value();
  const GgufTensorInfo* embedding = weights.gguf().find_tensor("token_embd.weight");
  const uint64_t rows = embedding != nullptr ? embedding->rows() : side.tokenizer->vocab_size();
  if (side.tokenizer->vocab_size() > rows) {
    return make_error(ErrorCode::kCorrupt,
                      "{}: the tokenizer has {} tokens, the embedding {} rows: they do not belong together",
                      weights.path(), side.tokenizer->vocab_size(), rows);
  }
  if (side.tokenizer->vocab_size() < rows) {
    side.doubts.push_back(
        fmt::format("the embedding has {} rows, the tokenizer {} tokens: the rest prints nothing", rows,
                    side.tokenizer->vocab_size()));
  }
  TERN_TRY_ASSIGN(side.chat, resolve_model_chat(weights.gguf(), *side.tokenizer, flags.chat_template));
  side.doubts.insert(side.doubts.end(), side.tokenizer->doubts().begin(), side.tokenizer->doubts().end());
  side.doubts.insert(side.doubts.end(), side.chat.doubts.begin(), side.chat.doubts.end());
  return side;
}

Result<TextModel> load_text_model(const ModelFlags& model, const TextFlags& text) {
  TERN_TRY_ASSIGN(LoadedModel loaded, load_model(model, true));
  auto side = load_text_side(loaded.model->weights(), text);
  if (!side.ok()) return std::move(side).error();
  return TextModel{std::move(loaded), std::move(side).value()};
}

bool write_out(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

}  // namespace tern::cli
