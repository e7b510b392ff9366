// SPDX-License-Identifier: MIT
// tern run MODEL [PROMPT]: one answer. Text in, text out; with --tokens ids in, ids out. A model with a chat
// template is asked as a user would ask it; a base model (or --raw) continues the text.
#include <cstdio>
#include <optional>

#include "cli/chat_loop.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "engine/chat_session.h"
#include "engine/model_chat.h"
#include "text/utf8_sanitizer.h"

namespace tern::cli {

namespace {

struct RunFlags {
  ModelFlags model;
  TextFlags text;
  SamplingFlags sampling;
  PromptFlags prompt;
  std::string tokens, system, when_full = "stop";
  std::vector<int32_t> stop_ids;
  std::vector<std::string> stops;
  bool raw = false, special = false, ignore_end = false, json = false, no_perf = false;
};

/// What all ways of running share: parameters, callbacks, the report.
struct Run {
  const RunFlags& flags;
  SamplingParams sampling;
  std::optional<InterruptGuard> interrupt = std::nullopt;  // from params() on: loading ends as programs do
  Progress progress{"reading the prompt", true};

  GenerateParams params() {
    GenerateParams p;
    p.sampling = sampling;
    p.max_tokens = flags.sampling.max_tokens;
    p.stop_ids = flags.stop_ids;
    p.cancel = &interrupt.emplace().cancelled();
    p.on_prefill = [this](int64_t done, int64_t total) { progress.update(done, total); };
    return p;
  }

  TextParams text_params(const TextSide& side, bool is_chat) {
    TextParams p;
    p.generate = params();
    p.stops = flags.stops;
    if (is_chat) {
      const std::vector<int32_t> ids = chat_stop_ids(side.chat, *side.tokenizer);
      p.generate.stop_ids.insert(p.generate.stop_ids.end(), ids.begin(), ids.end());
    }
    p.ignore_end = flags.ignore_end;
    p.render_special = flags.special;
    p.on_piece = [this](int32_t, std::string_view part) {
      progress.finish();
      return flags.json || part.empty() || write_out(part);
    };
    return p;
  }

  void report(const LoadedModel& loaded, const std::vector<int32_t>& prompt, const GenerateResult& result,
              const std::string* text, int* exit_code) {
    progress.finish();
    if (result.finish == FinishReason::kCancelled) *exit_code = kExitInterrupted;
    if (flags.json) {
      Json json = {{"model", flags.model.path},
                   {"isa", loaded.context->kernels().name},
                   {"threads", loaded.context->num_threads()},
                   {"seed", sampling.seed},
                   {"prompt_tokens", prompt},
                   {"tokens", result.tokens}};
      if (text != nullptr) json["text"] = *text;
      json["finish_reason"] = finish_reason_name(result.finish);
      json["timings"] = timings_json(result.timings, loaded.load_seconds);
      return print_json(json);
    }
    write_out("\n");
    if (result.finish == FinishReason::kContextFull) {
      print_note(fmt::format("[stopped: the context of {} tokens is full; -c N makes it larger]",
                             loaded.runner->context()));
    }
    if (!flags.no_perf) {
      const std::string seed = sampling.temperature > 0 ? fmt::format(" | seed {}", sampling.seed) : "";
      print_note(fmt::format("[{}{}]", timings_line(result.timings, loaded.load_seconds), seed));
    }
  }
};

Status run_tokens(Run& run, int* exit_code) {
  const RunFlags& flags = run.flags;
  TERN_TRY_ASSIGN(const std::vector<int32_t> prompt, parse_token_ids(flags.tokens));
  TERN_TRY_ASSIGN(const LoadedModel loaded, load_model(flags.model, true));
  GenerateParams params = run.params();
  bool is_first = true;
  params.on_token = [&](int32_t token) {
    run.progress.finish();
    const std::string text = fmt::format("{}{}", is_first ? "" : " ", token);
    is_first = false;
    return flags.json || write_out(text);
  };
  Sequence sequence = loaded.runner->new_sequence();
  TERN_TRY_ASSIGN(const GenerateResult result, generate(*loaded.runner, sequence, prompt, params));
  run.report(loaded, prompt, result, nullptr, exit_code);
  return {};
}

Status run_raw(Run& run, const TextModel& loaded, const std::string& text, int* exit_code) {
  const Tokenizer& tokenizer = *loaded.text.tokenizer;
  EncodeOptions options;
  options.parse_special = run.flags.special;
  options.add_eos = false;
  std::vector<int32_t> prompt = tokenizer.encode(text, options);
  const int64_t context = loaded.model.runner->context();
  if (static_cast<int64_t>(prompt.size()) >= context && run.flags.when_full == "drop") {
    const auto drop = static_cast<int64_t>(prompt.size()) - context + std::max<int64_t>(1, context / 4);
    prompt.erase(prompt.begin(), prompt.begin() + drop);
    print_note(fmt::format("[the first {} tokens of the prompt were dropped to fit the context of {}]", drop,
                           context));
  } else if (static_cast<int64_t>(prompt.size()) >= context) {
    return make_error(
        ErrorCode::kOutOfMemory,
        "the prompt has {} tokens, the context holds {} with the answer: make it larger (-c), or keep only "
        "the end of the prompt (--context-full drop)",
        prompt.size(), context);
  }
  Sequence sequence = loaded.model.runner->new_sequence();
  TERN_TRY_ASSIGN(const TextResult result,
                  generate_text(*loaded.model.runner, sequence, loaded.text.tokenizer, prompt,
                                run.text_params(loaded.text, false)));
  run.report(loaded.model, prompt, result.raw, &result.text, exit_code);
  return {};
}

Status run_chat_turn(Run& run, const TextModel& loaded, const std::string& text, int* exit_code) {
  TERN_TRY_ASSIGN(ChatTemplate chat_template, loaded.text.require_chat());
  ChatSession session(*loaded.model.runner, loaded.text.tokenizer, std::move(chat_template));
  session.set_when_full(run.flags.when_full == "drop" ? WhenFull::kDropOldest : WhenFull::kStop);
  if (!run.flags.system.empty()) TERN_TRY(session.set_system(run.flags.system));
  TERN_TRY_ASSIGN(const TextResult result,
                  session.ask(sanitize_utf8(text), run.text_params(loaded.text, true)));
  const std::vector<int32_t> prompt(session.fed_prompt().begin(), session.fed_prompt().end());
  run.report(loaded.model, prompt, result.raw, &result.text, exit_code);
  return {};
}

/// Without a prompt on a terminal a model that can chat does; a base model's Error says what to do instead.
Status run_as_chat(const RunFlags& flags, const SamplingParams& sampling) {
  TERN_TRY_ASSIGN(TextModel loaded, load_text_model(flags.model, flags.text));
  ChatLoopOptions options;
  options.sampling = sampling;
  options.max_tokens = flags.sampling.max_tokens;
  options.show_timings = !flags.no_perf;
  options.history_path = default_history_path();
  return chat_with(loaded, std::move(options), flags.system, flags.when_full == "drop");
}

Status run_command(const RunFlags& flags, int* exit_code) {
  if (flags.when_full != "stop" && flags.when_full != "drop") {
    return make_error(ErrorCode::kUsage, "--context-full '{}': expected stop or drop", flags.when_full);
  }
  if (flags.model.path.empty()) return no_model();
  TERN_TRY_ASSIGN(const SamplingParams sampling, flags.sampling.resolve());
  Run run{flags, sampling};
  if (!flags.tokens.empty()) return run_tokens(run, exit_code);
  const bool wants_chat =
      flags.prompt.is_empty() && stdin_is_terminal() && stdout_is_terminal() && !flags.raw && !flags.json;
  if (wants_chat) return run_as_chat(flags, sampling);
  TERN_TRY_ASSIGN(const std::string prompt, flags.prompt.read());
  TERN_TRY_ASSIGN(const TextModel loaded, load_text_model(flags.model, flags.text));
  for (const std::string& doubt : loaded.text.doubts) print_note("note: " + doubt);
  const bool is_chat = loaded.text.chat.chat_template.has_value() && !flags.raw;
  return is_chat ? run_chat_turn(run, loaded, prompt, exit_code) : run_raw(run, loaded, prompt, exit_code);
}

}  // namespace

void add_run_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  auto* command = app.add_subcommand("run", "one answer to a prompt");
  flags->model.add_to(*command);
  flags->prompt.add_to(*command);
  flags->text.add_to(*command);
  flags->sampling.add_to(*command);
  command->add_option("--tokens", flags->tokens,
                      "the prompt as token ids: a list, @FILE, or - for stdin; the answer is ids too");
  command->add_option("--system", flags->system, "system message");
  command->add_option("--stop", flags->stops, "text that ends the answer, may be repeated")
      ->allow_extra_args(false);
  command->add_option("--stop-id", flags->stop_ids, "a token id that ends the answer, may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--context-full", flags->when_full,
                   "a prompt that does not fit: stop, or drop its beginning")
      ->capture_default_str();
  command->add_flag("--raw", flags->raw, "continue the text as it is, without the chat template");
  command->add_flag("--special", flags->special, "with --raw: read and show control tokens as text");
  command->add_flag("--ignore-eos", flags->ignore_end, "go on past end tokens");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->add_flag("--no-perf", flags->no_perf, "no timings on stderr");
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(&flags->prompt.prompt);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_command(*flags, exit_code);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
