// SPDX-License-Identifier: MIT
// tern verify MODEL [--against SRC]: re-proves a model file and says what it could not check.
#include "convert/verify.h"

#include <cstdio>

#include "cli/commands.h"
#include "cli/import_flags.h"
#include "cli/report.h"
#include "cli/terminal.h"

namespace tern::cli {

namespace {

struct VerifyFlags {
  std::string model, against;
  ImportFlags import;
  int64_t threads = 0;
  bool json = false;
};

const char* kind_name(Finding::Kind kind) {
  return kind == Finding::Kind::kOk ? "ok" : kind == Finding::Kind::kBad ? "BAD" : "unchecked";
}

void print_report(const VerifyFlags& flags, const VerifyReport& report) {
  if (flags.json) {
    Json findings = Json::array();
    for (const Finding& f : report.findings) {
      findings.push_back({{"kind", f.kind == Finding::Kind::kBad ? "bad" : kind_name(f.kind)},
                          {"what", f.what},
                          {"detail", f.detail}});
    }
    print_json({{"model", flags.model},
                {"ok", report.ok()},
                {"tensors", report.tensors.size()},
                {"logits", report.self_check ? Json(report.self_check->logits) : Json()},
                {"findings", findings}});
    return;
  }
  for (const Finding& f : report.findings) {
    fmt::print("{:<10} {:<16} {}\n", kind_name(f.kind), f.what, one_line(f.detail, 500));
  }
}

Status run_verify(const VerifyFlags& flags) {
  VerifyOptions options;
  options.against = flags.against;
  TERN_TRY_ASSIGN(options.import, flags.import.resolve());
  const Topology topology = detect_topology();
  const size_t threads = flags.threads > 0 ? static_cast<size_t>(flags.threads) : topology.cpus.size();
  TERN_TRY_ASSIGN(const auto pool, ThreadPool::create(threads, topology, false));
  options.pool = pool.get();
  WorkProgress progress;
  options.progress = [&](std::string_view what, int64_t done, int64_t total) {
    progress.update(what, done, total);
  };
  const auto report = verify_model(flags.model, options);
  progress.erase();
  if (!report.ok()) return report.error();
  print_report(flags, *report);
  if (report->ok()) return {};
  return make_error(ErrorCode::kCorrupt, "'{}' is not what it should be", flags.model);
}

}  // namespace

void add_verify_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<VerifyFlags>();
  auto* command =
      app.add_subcommand("verify", "re-prove a model file: numbers, source, logits on every kernel set");
  command->add_option("MODEL", flags->model, "model file (GGUF)")->required();
  command->add_option("--against", flags->against,
                      "the source it was converted from: must hold the same numbers");
  command->add_option("-t,--threads", flags->threads, "threads (0 = all)");
  flags->import.add_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_verify(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
