// SPDX-License-Identifier: MIT
// tern profile MODEL: where the time of a real run goes, per layer and per op; a Chrome trace and folded
// stacks on request.
#include <cstdio>

#include "bench/roof.h"
#include "bench/speed.h"
#include "bench/trace.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "core/atomic_file.h"

namespace tern::cli {

namespace {

struct ProfileFlags {
  ModelFlags model;
  int64_t prompt = 128, predict = 32, depth = 0, parallel = 1;
  std::string trace, folded;
  bool json = false;
};

Json lines_json(const std::vector<ProfileLine>& lines) {
  Json list = Json::array();
  for (const ProfileLine& line : lines) {
    list.push_back({{"name", line.name},
                    {"calls", line.calls},
                    {"seconds", line.seconds},
                    {"bytes", line.bytes},
                    {"operations", line.operations},
                    {"memory_bound", line.is_memory_bound}});
  }
  return list;
}

void print_table(const char* title, const std::vector<ProfileLine>& lines) {
  double total = 0;
  for (const ProfileLine& line : lines) total += line.seconds;
  fmt::print("{}: {:.2f} ms in ops\n  {:<14} {:>7} {:>10} {:>7} {:>9} {:>9}\n", title, total * 1e3, "op",
             "calls", "ms", "share", "GB/s", "GOP/s");
  for (const ProfileLine& line : lines) {
    fmt::print("  {:<14} {:>7} {:>10.3f} {:>6.1f}% {:>9.1f} {:>9.1f}{}\n", line.name, line.calls,
               line.seconds * 1e3, 100 * line.seconds / total, line.bytes / line.seconds * 1e-9,
               line.operations / line.seconds * 1e-9, line.is_memory_bound ? "  bound by memory" : "");
  }
}

/// One phase, recorded after a run that warms it up.
Result<std::vector<OpEvent>> record_phase(const SpeedCase& what, LoadedModel& loaded) {
  TERN_TRY_ASSIGN(const auto run,
                  SpeedRun::create(what, loaded.model, *loaded.context, loaded.runner->cache().type()));
  TERN_TRY_ASSIGN(const double warm, run->run());
  (void)warm;
  return run->record();
}

Status run_profile(ProfileFlags& flags) {
  for (const int64_t value : {flags.prompt, flags.predict, flags.depth}) {
    if (value < 0 || value > 1 << 20) {
      return make_error(ErrorCode::kUsage, "-p, -n and -d: expected 0 to 1048576, found {}", value);
    }
  }
  if (flags.parallel < 1 || flags.parallel > 1024) {
    return make_error(ErrorCode::kUsage, "--np {}: expected 1 to 1024", flags.parallel);
  }
  if (flags.prompt + flags.predict == 0)
    return make_error(ErrorCode::kUsage, "nothing to run: -p and -n are both 0");
  TERN_TRY_ASSIGN(LoadedModel loaded, load_model(flags.model, true));
  TERN_TRY_ASSIGN(const double roof, measure_read_bandwidth(loaded.context->pool(), size_t{384} << 20, 7));
  SpeedCase what{.depth = flags.depth,
                 .chunk_rows = flags.model.chunk_rows,
                 .threads = static_cast<int64_t>(loaded.context->num_threads()),
                 .isa = loaded.context->kernels().name};
  std::vector<OpEvent> prefill, decode;
  if (flags.prompt > 0) {
    what.prompt = flags.prompt;
    TERN_TRY_ASSIGN(prefill, record_phase(what, loaded));
  }
  if (flags.predict > 0) {
    what.prompt = 0, what.predict = flags.predict, what.sequences = flags.parallel;
    TERN_TRY_ASSIGN(decode, record_phase(what, loaded));
  }
  std::vector<OpEvent> all = prefill;
  all.insert(all.end(), decode.begin(), decode.end());
  if (!flags.trace.empty()) {
    TERN_TRY(write_atomically(
        flags.trace,
        chrome_trace(all, "tern " + flags.model.path).dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
  if (!flags.folded.empty()) TERN_TRY(write_atomically(flags.folded, folded_stacks(all)));
  const auto prefill_lines = profile_lines(prefill, roof), decode_lines = profile_lines(decode, roof);
  if (flags.json) {
    print_json(
        {{"model", flags.model.path},
         {"machine", machine_json(*loaded.context)},
         {"roof_gb_per_second", roof * 1e-9},
         {"prefill", {{"tokens", flags.prompt}, {"ops", lines_json(prefill_lines)}}},
         {"decode",
          {{"tokens", flags.predict}, {"parallel", flags.parallel}, {"ops", lines_json(decode_lines)}}}});
    return {};
  }
  fmt::print("{}; memory roof {:.1f} GB/s\n", loaded.context->backend().describe(), roof * 1e-9);
  if (loaded.context->kernels().name == std::string_view("scalar")) {
    fmt::print("note: the scalar kernels are the specification, not made for speed\n");
  }
  if (!prefill.empty()) print_table(fmt::format("prefill of {} tokens", flags.prompt).c_str(), prefill_lines);
  if (!decode.empty()) print_table(fmt::format("{} decode steps", flags.predict).c_str(), decode_lines);
  return {};
}

}  // namespace

void add_profile_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ProfileFlags>();
  auto* command = app.add_subcommand("profile", "where the time of a run goes, per op and layer");
  flags->model.add_to(*command);
  command->add_option("-p,--n-prompt", flags->prompt, "prompt tokens to prefill (0 = none)")
      ->capture_default_str();
  command->add_option("-n,--n-gen", flags->predict, "decode steps (0 = none)")->capture_default_str();
  command->add_option("-d,--n-depth", flags->depth, "tokens that are in the cache before")
      ->capture_default_str();
  command->add_option("--np,--parallel", flags->parallel, "sequences that decode together")
      ->capture_default_str();
  command->add_option("--trace", flags->trace,
                      "write Chrome's trace format (chrome://tracing, ui.perfetto.dev)");
  command->add_option("--folded", flags->folded, "write folded stacks (flame graphs)");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(nullptr);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_profile(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
