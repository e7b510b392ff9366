// SPDX-License-Identifier: MIT
// tern rm NAME...: takes models out of the store, and the files that no other model uses. Asks first.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/store_report.h"
#include "cli/terminal.h"

namespace tern::cli {

namespace {

struct RmFlags {
  std::vector<std::string> names;
  StoreFlags store;
  bool leftovers = false, yes = false, json = false;
};

/// False where the user does not want it after all.
Result<bool> ask_first(const RmFlags& flags, const std::vector<std::string>& names) {
  if (flags.yes) return true;
  if (!stdin_is_terminal() || !stderr_is_terminal()) {
    return make_error(ErrorCode::kUsage, "nobody to ask: --yes removes without asking");
  }
  std::string what;
  for (const std::string& name : names) what += (what.empty() ? "" : ", ") + one_line(name, 200);
  if (flags.leftovers) what += (what.empty() ? "" : " and ") + std::string("what interrupted downloads left");
  return ask_yes(fmt::format("Remove {}?", what));
}

Status run_rm(const RmFlags& flags) {
  TERN_TRY_ASSIGN(const hub::Store store, flags.store.open());
  std::vector<std::string> names;
  for (const std::string& name : flags.names) {
    const auto canonical = hub::canonical_name(name);
    names.push_back(canonical.ok() ? *canonical : name);
  }
  if (names.empty() && !flags.leftovers) {
    return make_error(ErrorCode::kUsage, "nothing to remove: name models (tern list), or --leftovers");
  }
  TERN_TRY_ASSIGN(const bool is_wanted, ask_first(flags, names));
  if (!is_wanted) {
    print_note("nothing was removed");
    return {};
  }
  const InterruptGuard interrupt;
  hub::RemoveReport total;
  const auto add = [&](const hub::RemoveReport& report) {
    total.files += report.files;
    total.bytes += report.bytes;
  };
  for (const std::string& name : names) {
    TERN_TRY_ASSIGN(const hub::RemoveReport report, store.remove(name, &interrupt.cancelled()));
    add(report);
  }
  if (flags.leftovers) {
    TERN_TRY_ASSIGN(const hub::RemoveReport report, store.remove_leftovers(&interrupt.cancelled()));
    add(report);
  }
  if (flags.json) {
    print_json({{"removed", names}, {"files", total.files}, {"bytes", total.bytes}});
  } else {
    print_note(
        fmt::format("removed {} file(s), {} are free again", total.files, hub::human_size(total.bytes)));
  }
  return {};
}

}  // namespace

void add_rm_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<RmFlags>();
  auto* command = app.add_subcommand("rm", "remove pulled models");
  command->add_option("NAME", flags->names, "names of models");
  flags->store.add_to(*command);
  command->add_flag("--leftovers", flags->leftovers,
                    "remove what interrupted downloads left, and files that no model uses");
  command->add_flag("-y,--yes", flags->yes, "do not ask");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_rm(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
