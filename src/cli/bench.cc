// SPDX-License-Identifier: MIT
// tern bench MODEL: prefill and decode speed over sweeps of lengths, depths, batches, threads and kernels,
// cases taking turns; beside the measured roofs, and beside another engine's benchmark where --compare names
// one.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include "bench/energy.h"
#include "bench/peer.h"
#include "bench/roof.h"
#include "bench/speed.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "core/atomic_file.h"
#include "core/memory.h"

namespace tern::cli {

namespace {

struct BenchFlags {
  ModelFlags model;
  std::vector<int64_t> prompts = {512}, predicts = {128}, depths = {0}, parallel = {1}, chunks = {512},
                       threads = {0};
  std::vector<std::string> isas = {"auto"};
  int repetitions = 5;
  std::string output = "md", compare, plot_threads, plot_roofline;
  bool load = false, no_roof = false;
};

Status check_list(const char* flag, const std::vector<int64_t>& values, int64_t low, int64_t high) {
  for (const int64_t value : values) {
    if (value < low || value > high) {
      return make_error(ErrorCode::kUsage, "{} {}: expected numbers from {} to {}", flag, value, low, high);
    }
  }
  return {};
}

Status check_flags(const BenchFlags& flags) {
  TERN_TRY(check_list("-p", flags.prompts, 0, 1 << 20));
  TERN_TRY(check_list("-n", flags.predicts, 0, 1 << 20));
  TERN_TRY(check_list("-d", flags.depths, 0, 1 << 20));
  TERN_TRY(check_list("-np", flags.parallel, 1, 1024));
  TERN_TRY(check_list("-b", flags.chunks, 1, 65536));
  TERN_TRY(check_list("-t", flags.threads, 0, 1024));
  TERN_TRY(check_list("-r", {flags.repetitions}, 1, 1000));
  if (flags.output != "md" && flags.output != "csv" && flags.output != "json") {
    return make_error(ErrorCode::kUsage, "-o '{}': expected md, csv or json", flags.output);
  }
  return {};
}

/// The cases of one thread count and kernel set.
std::vector<SpeedCase> make_cases(const BenchFlags& flags, int64_t threads, const std::string& isa) {
  std::vector<SpeedCase> cases;
  for (const int64_t depth : flags.depths) {
    for (const int64_t chunk : flags.chunks) {
      for (const int64_t prompt : flags.prompts) {
        if (prompt > 0) cases.push_back({prompt, 0, depth, 1, chunk, threads, isa});
      }
    }
    for (const int64_t parallel : flags.parallel) {
      for (const int64_t predict : flags.predicts) {
        if (predict > 0) cases.push_back({0, predict, depth, parallel, flags.chunks[0], threads, isa});
      }
    }
  }
  return cases;
}

struct Bench {
  LoadedModel loaded;
  std::vector<std::unique_ptr<Context>> contexts;  // beside the one that loaded the model
  std::vector<std::unique_ptr<SpeedRun>> runs;     // one per case
  BenchReport report;
};

Status add_cases(const BenchFlags& flags, Bench* bench) {
  for (const int64_t threads : flags.threads) {
    for (const std::string& isa : flags.isas) {
      ContextOptions options;
      options.threads = threads;
      options.isa = isa;
      options.pin = !flags.model.no_pin;
      TERN_TRY_ASSIGN(std::unique_ptr<Context> context, Context::create(options));
      for (SpeedCase what :
           make_cases(flags, static_cast<int64_t>(context->num_threads()), context->kernels().name)) {
        std::optional<KvType> kv_type;
        if (flags.model.kv_type != "auto")
          kv_type = flags.model.kv_type == "f16" ? KvType::kF16 : KvType::kF32;
        TERN_TRY_ASSIGN(auto run, SpeedRun::create(what, bench->loaded.model, *context, kv_type));
        bench->report.kv_type = run->kv_type() == KvType::kF16 ? "f16" : "f32";
        bench->report.cases.push_back({.what = what});
        bench->runs.push_back(std::move(run));
      }
      bench->contexts.push_back(std::move(context));
    }
  }
  if (bench->runs.empty()) return make_error(ErrorCode::kUsage, "nothing to measure: -p and -n are all 0");
  return {};
}

/// One recorded run of each case, which warms it up too; then the repetitions, the cases (and the other
/// engine) taking turns.
Status measure(const BenchFlags& flags, Bench* bench) {
  Progress progress("measuring", true);
  EnergyMeter meter;
  const InterruptGuard interrupt;
  const auto total = static_cast<int64_t>(bench->runs.size()) * (flags.repetitions + 1);
  for (int round = -1; round < flags.repetitions; ++round) {
    for (size_t i = 0; i < bench->runs.size(); ++i) {
      if (interrupt.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
      CaseReport& report = bench->report.cases[i];
      if (round < 0) {
        TERN_TRY_ASSIGN(const auto events, bench->runs[i]->record());
        report.shares = shares_of(events, report.what.prompt > 0 ? 1 : report.what.predict);
      } else {
        (void)meter.joules();
        TERN_TRY_ASSIGN(const double seconds, bench->runs[i]->run());
        report.samples.seconds.push_back(seconds);
        if (const auto joules = meter.joules()) report.samples.joules.push_back(*joules);
        if (!flags.compare.empty()) {
          TERN_TRY_ASSIGN(const double rate, run_peer(fill_command(flags.compare, report.what)));
          report.peer_rates.push_back(rate);
        }
      }
      progress.update((round + 1) * static_cast<int64_t>(bench->runs.size()) + static_cast<int64_t>(i) + 1,
                      total);
    }
  }
  return {};
}

Status measure_roofs(Bench* bench) {
  constexpr size_t kBytes = size_t{384} << 20;  // far above any last-level cache of today
  for (const auto& context : bench->contexts) {
    Roof roof;
    TERN_TRY_ASSIGN(roof.bytes_per_second, measure_read_bandwidth(context->pool(), kBytes, 7));
    TERN_TRY_ASSIGN(roof.operations_per_second, measure_ternary_rate(context->backend(), 15));
    bench->report.roofs[{static_cast<int64_t>(context->num_threads()), context->kernels().name}] = roof;
  }
  return {};
}

/// Seconds from an empty process state to a model that can step, once with the file dropped from the page
/// cache (as far as the system does that) and once with it there.
Status measure_loads(const BenchFlags& flags, BenchReport* report) {
  const int file = ::open(flags.model.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    (void)::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
  for (double* seconds : {&report->cold_load_seconds, &report->warm_load_seconds}) {
    TERN_TRY_ASSIGN(const LoadedModel loaded, load_model(flags.model, false));
    *seconds = loaded.load_seconds;
  }
  return {};
}

Status run_bench(BenchFlags& flags) {
  TERN_TRY(check_flags(flags));
  Bench bench;
  if (flags.load) TERN_TRY(measure_loads(flags, &bench.report));
  flags.model.context.threads = flags.threads[0];
  flags.model.context.isa = flags.isas[0];
  flags.model.context_tokens = 64;  // the runner of the loader is not used: small
  TERN_TRY_ASSIGN(bench.loaded, load_model(flags.model, true));
  bench.loaded.runner.reset();
  describe_model(flags.model.path, *bench.loaded.model, bench.loaded.load_seconds, &bench.report);
  bench.report.machine = machine_json(*bench.loaded.context);
  bench.report.command = flags.compare;
  TERN_TRY(add_cases(flags, &bench));
  TERN_TRY(measure(flags, &bench));
  bench.report.peak_resident_bytes =
      peak_resident_bytes();  // before the roofs, whose buffer is not the model's
  if (!flags.no_roof) TERN_TRY(measure_roofs(&bench));
  if (!flags.plot_threads.empty())
    TERN_TRY(write_atomically(flags.plot_threads, render_svg(threads_chart(bench.report))));
  if (!flags.plot_roofline.empty())
    TERN_TRY(write_atomically(flags.plot_roofline, render_svg(roofline_chart(bench.report))));
  if (flags.output == "json") {
    print_json(report_json(bench.report));
  } else {
    fmt::print("{}", flags.output == "csv" ? report_csv(bench.report) : report_markdown(bench.report));
  }
  return {};
}

void add_flags(CLI::App& command, BenchFlags& flags) {
  command.add_option("MODEL", flags.model.path, "model file (GGUF)");
  command.add_option("-m,--model", flags.model.flag_path, "model file, instead of MODEL");
  command.add_option("-p,--n-prompt", flags.prompts, "prompt lengths to prefill, 0 = none")->delimiter(',');
  command.add_option("-n,--n-gen", flags.predicts, "tokens to decode, 0 = none")->delimiter(',');
  command.add_option("-d,--n-depth", flags.depths, "tokens that are in the cache before")->delimiter(',');
  command.add_option("--np,--parallel", flags.parallel, "sequences that decode together")->delimiter(',');
  command.add_option("-b,--batch-size", flags.chunks, "tokens of a prompt per step")->delimiter(',');
  command.add_option("-t,--threads", flags.threads, "threads (0 = one per physical core)")->delimiter(',');
  command.add_option("--isa", flags.isas, "kernel sets")->delimiter(',');
  command.add_option("-r,--repetitions", flags.repetitions, "runs of each case, in turn");
  command.add_option("-o,--output", flags.output, "md, csv or json");
  command.add_flag_callback(
      "--json", [&flags] { flags.output = "json"; }, "the same as -o json (docs/json.md)");
  command.add_option(
      "--compare", flags.compare,
      "another engine's benchmark command, run in turn; {p} {n} {d} {np} {t} {b} are filled in");
  command.add_option("--plot-threads", flags.plot_threads, "write the thread-scaling plot (SVG)");
  command.add_option("--plot-roofline", flags.plot_roofline, "write the roofline plot (SVG)");
  command.add_flag("--load", flags.load, "measure the loading too, from disk and from the page cache");
  command.add_flag("--no-roof", flags.no_roof, "do not measure the roofs");
  command.add_option("--kv-type", flags.model.kv_type, "type of the KV cache: f16, f32 or auto");
  command.add_option("--act", flags.model.activations, "activations of containers that do not say theirs");
  command.add_option("--i2s-order", flags.model.container.i2s_order, "byte order of I2_S tensors");
  command.add_flag("--no-pin", flags.model.no_pin, "do not bind threads to processors");
}

}  // namespace

void add_bench_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<BenchFlags>();
  auto* command = app.add_subcommand("bench", "measure prefill and decode speed");
  add_flags(*command, *flags);
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(nullptr);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_bench(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
