// SPDX-License-Identifier: MIT
// tern chat MODEL: a conversation on the terminal. Answers go to stdout, everything else to stderr.
#include <cstdio>

#include "cli/chat_loop.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "engine/model_chat.h"

namespace tern::cli {

Status chat_with(TextModel& loaded, ChatLoopOptions options, const std::string& system, bool drops_oldest) {
  TERN_TRY_ASSIGN(ChatTemplate chat_template, loaded.text.require_chat());
  options.stop_ids = chat_stop_ids(loaded.text.chat, *loaded.text.tokenizer);
  ChatSession session(*loaded.model.runner, loaded.text.tokenizer, std::move(chat_template));
  session.set_when_full(drops_oldest ? WhenFull::kDropOldest : WhenFull::kStop);
  if (!system.empty()) TERN_TRY(session.set_system(system));
  for (const std::string& doubt : loaded.text.doubts) print_note("note: " + one_line(doubt, 500));
  return ChatLoop(session, std::move(options)).run();
}

namespace {

struct ChatFlags {
  ModelFlags model;
  TextFlags text;
  SamplingFlags sampling;
  std::string system;
  std::string when_full = "stop";
  bool no_history = false;
  bool no_perf = false;
};

Status run_chat(const ChatFlags& flags) {
  if (flags.when_full != "stop" && flags.when_full != "drop") {
    return make_error(ErrorCode::kUsage, "--context-full '{}': expected stop or drop", flags.when_full);
  }
  ChatLoopOptions options;
  TERN_TRY_ASSIGN(options.sampling, flags.sampling.resolve());
  options.max_tokens = flags.sampling.max_tokens;
  options.show_timings = !flags.no_perf;
  options.history_path = flags.no_history ? "" : default_history_path();
  TERN_TRY_ASSIGN(TextModel loaded, load_text_model(flags.model, flags.text));
  return chat_with(loaded, std::move(options), flags.system, flags.when_full == "drop");
}

}  // namespace

void add_chat_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ChatFlags>();
  auto* command = app.add_subcommand("chat", "talk with a model; /help lists what can be typed");
  flags->model.add_to(*command);
  flags->text.add_to(*command);
  flags->sampling.add_to(*command);
  command->add_option("--system", flags->system, "system message");
  command
      ->add_option("--context-full", flags->when_full,
                   "when the conversation no longer fits: stop, or drop the oldest turns")
      ->capture_default_str();
  command->add_flag("--no-history", flags->no_history, "keep no history of typed lines");
  command->add_flag("--no-perf", flags->no_perf, "no timings after answers");
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(nullptr);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_chat(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
