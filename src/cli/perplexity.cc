// SPDX-License-Identifier: MIT
// tern perplexity MODEL -f FILE (or --tokens IDS): teacher-forced negative log-likelihood, with its standard
// error.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "runtime/score.h"

namespace tern::cli {

namespace {

struct PerplexityFlags {
  ModelFlags model;
  TextFlags text;
  PromptFlags prompt;
  std::string tokens;
  int64_t window = 0;  // 0 = the context
  bool json = false;
  bool all_nll = false;
};

/// What to score, and the token to put in front of every window (-1: none).
struct Input {
  std::vector<int32_t> tokens;
  int32_t first = -1;
};

/// With --tokens exactly those ids; otherwise the text's ids, every window starting with BOS where the model
/// uses one.
Result<Input> read_input(const PerplexityFlags& flags, const LoadedModel& loaded) {
  Input input;
  if (!flags.tokens.empty()) {
    TERN_TRY_ASSIGN(input.tokens, parse_token_ids(flags.tokens));
    return input;
  }
  TERN_TRY_ASSIGN(const std::string text, flags.prompt.read());
  TERN_TRY_ASSIGN(const TextSide side, load_text_side(loaded.model->weights(), flags.text));
  EncodeOptions options;
  options.add_bos = false;
  options.add_eos = false;
  input.tokens = side.tokenizer->encode(text, options);
  if (side.tokenizer->add_bos_default()) input.first = side.tokenizer->bos_id().value_or(-1);
  return input;
}

Status run_perplexity(const PerplexityFlags& flags) {
  TERN_TRY_ASSIGN(const LoadedModel loaded, load_model(flags.model, true));
  TERN_TRY_ASSIGN(const Input input, read_input(flags, loaded));
  const int64_t window = flags.window > 0 ? flags.window : loaded.runner->context();
  Progress progress("scoring", true);
  const auto begin = std::chrono::steady_clock::now();
  TERN_TRY_ASSIGN(const Score score,
                  score_tokens(*loaded.runner, input.tokens, window, input.first,
                               [&](int64_t done, int64_t total) { progress.update(done, total); }));
  progress.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (flags.json) {
    Json json = {{"model", flags.model.path},
                 {"tokens", score.tokens},
                 {"window", window},
                 {"mean_nll", score.mean_nll},
                 {"std_error", score.std_error},
                 {"perplexity", score.perplexity},
                 {"load_seconds", loaded.load_seconds},
                 {"seconds", seconds}};
    if (flags.all_nll) json["nll"] = score.nll;
    print_json(json);
    return {};
  }
  fmt::print("tokens scored  {}\nmean NLL       {:.6f} +- {:.6f} nats\nperplexity     {:.4f} +- {:.4f}\n",
             score.tokens, score.mean_nll, score.std_error, score.perplexity,
             score.perplexity * score.std_error);
  return {};
}

}  // namespace

void add_perplexity_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<PerplexityFlags>();
  auto* command = app.add_subcommand("perplexity", "score a text under a model");
  flags->model.add_to(*command);
  flags->prompt.add_to(*command);
  flags->text.add_to(*command);
  command->add_option("--tokens", flags->tokens,
                      "token ids instead of a text: a list, @FILE, or - for stdin");
  command->add_option("--window", flags->window, "tokens per window (0 = the context)");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->add_flag("--all", flags->all_nll, "with --json: the NLL of every token");
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(&flags->prompt.prompt);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_perplexity(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
