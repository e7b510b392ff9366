// SPDX-License-Identifier: MIT
// tern run MODEL --tokens IDS: one answer, ids in, ids out.
#include <cstdio>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"

namespace tern::cli {

namespace {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string tokens;
  std::vector<int32_t> stop_ids;
  bool json = false;
  bool no_perf = false;
};

Status run_tokens(const RunFlags& flags, int* exit_code) {
  TERN_TRY_ASSIGN(const std::vector<int32_t> prompt, parse_token_ids(flags.tokens));
  TERN_TRY_ASSIGN(const SamplingParams sampling, flags.sampling.resolve());
  TERN_TRY_ASSIGN(const LoadedModel loaded, load_model(flags.model, true));

  InterruptGuard interrupt;
  Progress progress("reading the prompt", true);
  GenerateParams params;
  params.sampling = sampling;
  params.max_tokens = flags.sampling.max_tokens;
  params.stop_ids = flags.stop_ids;
  params.cancel = &interrupt.cancelled();
  params.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  bool is_first = true;
  params.on_token = [&](int32_t token) {
    progress.finish();
    if (!flags.json) std::printf("%s%d", is_first ? "" : " ", token);
    if (!flags.json) std::fflush(stdout);
    is_first = false;
    return true;
  };
  Sequence sequence = loaded.runner->new_sequence();
  TERN_TRY_ASSIGN(const GenerateResult result, generate(*loaded.runner, sequence, prompt, params));
  if (result.finish == FinishReason::kCancelled) *exit_code = kExitInterrupted;
  if (flags.json) {
    print_json({{"model", flags.model.path},
                {"isa", loaded.context->kernels().name},
                {"threads", loaded.context->num_threads()},
                {"seed", sampling.seed},
                {"prompt_tokens", prompt},
                {"tokens", result.tokens},
                {"finish_reason", finish_reason_name(result.finish)},
                {"timings", timings_json(result.timings, loaded.load_seconds)}});
    return {};
  }
  std::printf("\n");
  if (result.finish == FinishReason::kContextFull) {
    print_note(fmt::format("[stopped: the context of {} tokens is full; -c N makes it larger]",
                           loaded.runner->context()));
  }
  if (!flags.no_perf) print_note(fmt::format("[{}]", timings_line(result.timings, loaded.load_seconds)));
  return {};
}

}  // namespace

void add_run_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  auto* command = app.add_subcommand("run", "generate one answer");
  flags->model.add_to(*command);
  flags->sampling.add_to(*command);
  command->add_option("--tokens", flags->tokens, "the prompt as token ids: a list, @FILE, or - for stdin")
      ->required();
  command->add_option("--stop-id", flags->stop_ids, "token ids that end the answer");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->add_flag("--no-perf", flags->no_perf, "no timings on stderr");
  command->callback([flags, exit_code] {
    const Status status = run_tokens(*flags, exit_code);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
