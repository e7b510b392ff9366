// SPDX-License-Identifier: MIT
// tern convert SRC DST: any ternary checkpoint into GGUF, or into a Hugging Face directory.
#include <cstdio>

#include "cli/commands.h"
#include "cli/import_flags.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "engine/context.h"

namespace tern::cli {

namespace {

struct ConvertFlags {
  std::string source, target, to = "gguf";
  ImportFlags import;
  ConvertOptions options;
  int64_t threads = 0;
  bool json = false;
};

Json facts_json(const TensorFacts& facts) { return Json::parse(facts_to_line(facts)); }

void print_report(const ConvertFlags& flags, const ConvertReport& report) {
  for (const std::string& note : report.notes) print_note("note: " + one_line(note, 1000));
  const double rate = report.seconds > 0 ? static_cast<double>(report.source_bytes) / report.seconds : 0;
  fmt::print("{}  {}  {}\n", flags.target, human_bytes(static_cast<double>(report.written_bytes)),
             report.architecture);
  print_note(fmt::format(
      "[{}: {} in {:.1f} s, {}/s{}]", report.source_kind,
      human_bytes(static_cast<double>(report.source_bytes)), report.seconds, human_bytes(rate),
      report.resumed_bytes == 0
          ? ""
          : fmt::format("; {} were there already", human_bytes(static_cast<double>(report.resumed_bytes)))));
  if (!report.self_check) return;
  print_note(fmt::format("[self-check: logits {} in {:.1f} s; tern verify re-proves it]",
                         report.self_check->logits.substr(0, 12), report.check_seconds));
}

Json report_json(const ConvertFlags& flags, const ConvertReport& report) {
  Json json = {{"path", flags.target},
               {"source", report.source_kind},
               {"architecture", report.architecture},
               {"source_bytes", report.source_bytes},
               {"written_bytes", report.written_bytes},
               {"resumed_bytes", report.resumed_bytes},
               {"seconds", report.seconds},
               {"check_seconds", report.check_seconds},
               {"notes", report.notes}};
  if (report.self_check) json["logits"] = report.self_check->logits;
  json["tensors"] = Json::array();
  for (const TensorFacts& facts : report.tensors) json["tensors"].push_back(facts_json(facts));
  return json;
}

Status run_convert(ConvertFlags& flags) {
  if (flags.to != "gguf" && flags.to != "hf") {
    return make_error(ErrorCode::kUsage, "--to '{}': expected gguf or hf", flags.to);
  }
  flags.options.to_hf = flags.to == "hf";
  TERN_TRY_ASSIGN(flags.options.import, flags.import.resolve());
  const Topology topology = detect_topology();
  const size_t threads = flags.threads > 0 ? static_cast<size_t>(flags.threads) : topology.cpus.size();
  TERN_TRY_ASSIGN(const auto pool, ThreadPool::create(threads, topology, false));
  flags.options.pool = pool.get();
  WorkProgress progress;
  InterruptGuard interrupt;
  flags.options.cancel = &interrupt.cancelled();
  flags.options.progress = [&](std::string_view what, int64_t done, int64_t total) {
    progress.update(what, done, total);
  };
  const auto report = convert_model(flags.source, flags.target, flags.options);
  progress.erase();
  if (!report.ok()) return report.error();
  if (flags.json) {
    print_json(report_json(flags, *report));
  } else {
    print_report(flags, *report);
  }
  return {};
}

}  // namespace

void add_convert_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ConvertFlags>();
  auto* command =
      app.add_subcommand("convert", "any ternary checkpoint into GGUF (or a Hugging Face directory)");
  command->add_option("SRC", flags->source, "GGUF file, Hugging Face or MLX directory")->required();
  command->add_option("DST", flags->target, "what to write")->required();
  command->add_option("--to", flags->to, "gguf or hf (a Hugging Face directory)")->capture_default_str();
  command
      ->add_option("--type", flags->options.target.type,
                   "type of the projections: auto, " + known_ternary_types())
      ->capture_default_str();
  command
      ->add_option("--head", flags->options.target.head,
                   "type of embedding and head: auto, " + known_head_types())
      ->capture_default_str();
  command->add_option("--for", flags->options.target.engine, "write what another engine needs: llama.cpp");
  command->add_flag("--lossy", flags->options.target.lossy, "allow what rounds");
  command->add_flag("--force", flags->options.force, "replace DST");
  command->add_flag("--no-self-check", flags->options.skip_self_check, "do not run the written model");
  command->add_option("-t,--threads", flags->threads, "threads of the self-check (0 = all)");
  flags->import.add_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_convert(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code =
        status.error().code == ErrorCode::kCancelled ? kExitInterrupted : exit_code_of(status.error());
  });
}

}  // namespace tern::cli
