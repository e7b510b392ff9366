// SPDX-License-Identifier: MIT
#include "cli/import_flags.h"

#include <cstdio>

#include "cli/terminal.h"
#include "engine/gguf_tokenizer.h"

namespace tern::cli {

namespace {

Status one_of(const char* flag, const std::string& value, std::string_view first, std::string_view second) {
  if (value.empty() || value == first || value == second) return {};
  return make_error(ErrorCode::kUsage, "{} '{}': expected {} or {}", flag, value, first, second);
}

}  // namespace

void ImportFlags::add_to(CLI::App& command) {
  container.add_to(command);
  command.add_option("--weight-scale", weight_scale,
                     "what packed uint8's weight_scale does: multiply or divide");
  command.add_option("--act", activations,
                     "activations the model was trained with: int8, or int16 (weight-only)");
  command.add_option("--hidden-act", hidden_act, "gate of a source that does not name it: silu or relu2");
  command.add_option("--pre", pre, "pre-tokenizer by its GGUF name");
  command.add_option("--chat-template", chat_template, "keep or drop a template whose marks are no tokens");
  command.add_flag("--absmean", absmean,
                   "quantise dense projections by their mean magnitude (master weights)");
  command.add_flag("--no-tokenizer", no_tokenizer, "leave the tokenizer out");
}

Result<ImportOptions> ImportFlags::resolve() const {
  TERN_TRY(one_of("--weight-scale", weight_scale, "multiply", "divide"));
  TERN_TRY(one_of("--act", activations, "int8", "int16"));
  TERN_TRY(one_of("--hidden-act", hidden_act, "silu", "relu2"));
  TERN_TRY(one_of("--chat-template", chat_template, "keep", "drop"));
  ImportOptions options;
  TERN_TRY_ASSIGN(options.weights, container.weights_options());
  TERN_TRY_ASSIGN(options.i2s_order, container.order());
  if (!weight_scale.empty()) options.scale_divides = weight_scale == "divide";
  options.activation_bits = activations;
  options.activation = hidden_act;
  options.pre = pre;
  options.chat_template = chat_template;
  options.absmean = absmean;
  options.drop_text = no_tokenizer;
  options.open_tokenizer = [](const GgufFile& file) { return tokenizer_from_gguf(file); };
  return options;
}

WorkProgress::WorkProgress() : enabled_(stderr_is_terminal()), begin_(std::chrono::steady_clock::now()) {}

void WorkProgress::update(std::string_view what, int64_t done, int64_t total) {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  if (what != what_) {
    what_ = what;
    rate_ = {};
  } else if (now - last_ < std::chrono::milliseconds(100)) {
    return;
  }
  last_ = now;
  rate_.update(static_cast<uint64_t>(done), std::chrono::duration<double>(now - begin_).count());
  const std::string line = hub::transfer_line(what, static_cast<uint64_t>(done), static_cast<uint64_t>(total),
                                              rate_, terminal_width() - 1);
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  is_drawn_ = true;
}

void WorkProgress::erase() {
  if (is_drawn_) std::fprintf(stderr, "\r\x1b[K");
  is_drawn_ = false;
}

}  // namespace tern::cli
