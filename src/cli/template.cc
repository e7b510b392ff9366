// SPDX-License-Identifier: MIT
// tern template MODEL: shows the chat template a model uses, or renders a conversation with it. Reads no
// weights.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "engine/model_chat.h"

namespace tern::cli {

namespace {

struct TemplateFlags {
  std::string path;
  TextFlags text;
  std::string messages;
  std::vector<std::string> users;
  std::string system;
  bool no_generation_prompt = false, source = false, json = false;
};

/// The messages to render: a JSON file, or --system and --user. Errors: kUsage with the JSON's own complaint.
Result<Json> read_messages(const TemplateFlags& flags) {
  if (flags.messages.empty()) {
    Json messages = Json::array();
    if (!flags.system.empty()) messages.push_back({{"role", "system"}, {"content", flags.system}});
    for (const std::string& text : flags.users) messages.push_back({{"role", "user"}, {"content", text}});
    if (messages.empty()) messages.push_back({{"role", "user"}, {"content", "Hello!"}});
    return messages;
  }
  TERN_TRY_ASSIGN(const std::string text, read_text(flags.messages));
  constexpr int kMaxDepth = 64;  // tools and parts nest a little; hostile files nest a lot
  bool is_too_deep = false;
  const auto limit = [&](int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  Json json = Json::parse(text, limit, false);
  if (is_too_deep || json.is_discarded()) {
    return make_error(ErrorCode::kUsage, "'{}' is not {}", flags.messages,
                      is_too_deep ? "nested less than 64 deep" : "valid JSON");
  }
  if (json.is_object() && json.contains("messages")) return Json(json["messages"]);
  if (!json.is_array()) {
    return make_error(ErrorCode::kUsage, "'{}': expected a list of messages or {{\"messages\": [...]}}",
                      flags.messages);
  }
  return json;
}

Status run_template(const TemplateFlags& flags) {
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(flags.path));
  TERN_TRY_ASSIGN(const TextSide side, load_text_side(*weights, flags.text));
  TERN_TRY_ASSIGN(const ChatTemplate chat_template, side.require_chat());
  for (const std::string& doubt : side.doubts) print_note("note: " + doubt);
  if (flags.source) {
    write_out(chat_template.source() + "\n");
    return {};
  }
  TERN_TRY_ASSIGN(const Json messages, read_messages(flags));
  ChatInput input;
  input.messages = &messages;
  input.add_generation_prompt = !flags.no_generation_prompt;
  set_special_texts(*side.tokenizer, &input);
  TERN_TRY_ASSIGN(const std::string text, chat_template.render(input));
  if (!flags.json) {
    write_out(text + "\n");
    return {};
  }
  EncodeOptions options;
  options.parse_special = true;
  if (chat_template.emits_bos()) options.add_bos = false;
  print_json({{"text", text},
              {"ids", side.tokenizer->encode(text, options)},
              {"emits_bos", chat_template.emits_bos()},
              {"accepts_system", chat_template.accepts_system()},
              {"accepts_tools", chat_template.accepts_tools()},
              {"template", side.chat.name},
              {"stops", side.chat.stops},
              {"doubts", side.doubts}});
  return {};
}

}  // namespace

void add_template_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<TemplateFlags>();
  auto* command =
      app.add_subcommand("template", "show a model's chat template, or render a conversation with it");
  command->add_option("MODEL,-m,--model", flags->path, "model file (GGUF)")->required();
  flags->text.add_to(*command);
  command->add_option("--messages", flags->messages, "JSON file with the conversation (- for stdin)");
  command->add_option("--user", flags->users, "a user's message, instead of --messages; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--system", flags->system, "a system message, with --user");
  command->add_flag("--no-generation-prompt", flags->no_generation_prompt,
                    "leave out what starts the answer");
  command->add_flag("--source", flags->source, "print the template itself");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    Status status = find_model(&flags->path);
    if (status.ok()) status = run_template(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
