// SPDX-License-Identifier: MIT
// tern list: the models of the store; with --available the catalogue that tern pull knows.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/store_report.h"
#include "cli/terminal.h"

namespace tern::cli {

namespace {

struct ListFlags {
  StoreFlags store;
  bool available = false, json = false;
};

std::string or_unstated(std::string_view text) { return text.empty() ? "-" : std::string(text); }

void print_models(const std::vector<hub::Manifest>& models) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "SIZE", "ARCHITECTURE", "LICENCE", "PULLED"}};
  for (const hub::Manifest& m : models) {
    rows.push_back({m.name, hub::human_size(m.total_bytes()), or_unstated(m.architecture),
                    or_unstated(m.license), m.pulled.substr(0, 10)});
  }
  print_table(rows);
}

Status list_available(const hub::Store& store, bool as_json) {
  Json entries = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "SIZE", "PARAMETERS", "ARCHITECTURE", "LICENCE", "", "NOTE"}};
  for (const hub::CatalogueEntry& entry : hub::catalogue()) {
    const auto found = store.find(std::string(entry.name));
    const bool is_here = found.ok() && found->has_value();
    Json json = catalogue_json(entry);
    json["pulled"] = is_here;
    entries.push_back(std::move(json));
    rows.push_back({std::string(entry.name), hub::human_size(entry.bytes), std::string(entry.parameters),
                    std::string(entry.architecture), std::string(entry.license), is_here ? "here" : "",
                    std::string(entry.note)});
  }
  if (as_json) {
    print_json({{"available", entries}});
  } else {
    print_table(rows);
  }
  return {};
}

Status run_list(const ListFlags& flags) {
  TERN_TRY_ASSIGN(const hub::Store store, flags.store.open());
  if (flags.available) return list_available(store, flags.json);
  std::vector<std::string> doubts;
  TERN_TRY_ASSIGN(const std::vector<hub::Manifest> models, store.list(&doubts));
  for (const std::string& doubt : doubts) print_note("note: " + one_line(doubt, 1000));
  if (flags.json) {
    Json json = {{"store", store.root()}, {"models", Json::array()}, {"doubts", doubts}};
    for (const hub::Manifest& m : models) json["models"].push_back(manifest_json(m));
    print_json(json);
  } else if (models.empty()) {
    print_note(
        fmt::format("no models in {}: tern list --available shows what tern pull knows", store.root()));
  } else {
    print_models(models);
  }
  return {};
}

}  // namespace

void add_list_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ListFlags>();
  auto* command = app.add_subcommand("list", "the models that are here, or that can be pulled");
  flags->store.add_to(*command);
  command->add_flag("--available", flags->available, "the catalogue: names that tern pull knows");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_list(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
