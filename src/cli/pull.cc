// SPDX-License-Identifier: MIT
// tern pull NAME: downloads a model from a hub into the store, or says what is missing for it.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/store_report.h"
#include "cli/terminal.h"
#include "hub/transfer_rate.h"

namespace tern::cli {

namespace {

struct PullFlags {
  std::string name;
  StoreFlags store;
  HubFlags hub;
  bool json = false;
};

Status run_pull(const PullFlags& flags) {
  TERN_TRY_ASSIGN(const hub::Store store, flags.store.open());
  TERN_TRY_ASSIGN(hub::PullOptions options, flags.hub.resolve());
  TERN_TRY_ASSIGN(const hub::PullReport report, pull_with_progress(store, flags.name, std::move(options)));
  if (flags.json) {
    Json json = manifest_json(report.manifest);
    json["path"] = report.path;
    json["downloaded_bytes"] = report.downloaded_bytes;
    json["seconds"] = report.seconds;
    print_json(json);
    return {};
  }
  fmt::print("{}  {}  {}\n", report.manifest.name, hub::human_size(report.manifest.total_bytes()),
             report.path);
  if (report.downloaded_bytes == 0) {
    print_note("[all of it was here already]");
  } else {
    const double rate =
        report.seconds > 0 ? static_cast<double>(report.downloaded_bytes) / report.seconds : 0;
    print_note(fmt::format("[{} in {}, {}/s; hashes are right]", hub::human_size(report.downloaded_bytes),
                           hub::human_duration(report.seconds),
                           hub::human_size(static_cast<uint64_t>(rate))));
  }
  return {};
}

}  // namespace

void add_pull_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<PullFlags>();
  auto* command = app.add_subcommand("pull", "download a model; stopped, it goes on where it was");
  command
      ->add_option("NAME", flags->name,
                   "name of the catalogue (tern list --available) or OWNER/REPO[@REVISION][:FILE-OR-QUANT]")
      ->required();
  flags->store.add_to(*command);
  flags->hub.add_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_pull(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
