// SPDX-License-Identifier: MIT
// tern show NAME: where a model comes from, its licence, its files and their hashes; of a model that is not
// here, what the catalogue knows.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/store_report.h"
#include "cli/terminal.h"

namespace tern::cli {

namespace {

struct ShowFlags {
  std::string name;
  StoreFlags store;
  bool check = false, json = false;
};

void print_field(std::string_view name, std::string_view value) {
  if (!value.empty()) fmt::print("{:<13} {}\n", name, one_line(value, 1000));
}

Status show_model(const hub::Store& store, const hub::Manifest& m, const ShowFlags& flags) {
  TERN_TRY_ASSIGN(const std::string path, store.model_path(m));
  if (flags.check) {
    const InterruptGuard interrupt;
    TERN_TRY(store.check(m, &interrupt.cancelled()));
  }
  if (flags.json) {
    Json json = manifest_json(m);
    json["path"] = path;
    if (flags.check) json["checked"] = true;
    print_json(json);
    return {};
  }
  print_field("name", m.name);
  print_field("path", path);
  print_field("size", hub::human_size(m.total_bytes()));
  print_field("architecture", m.architecture);
  print_field("licence", m.license.empty() ? "not stated" : m.license);
  print_field("from", fmt::format("{}/{}", m.hub, m.repo));
  print_field("commit", fmt::format("{} ({})", m.commit, m.revision));
  print_field("pulled", m.pulled);
  for (const hub::ManifestFile& file : m.files) {
    print_field("file", fmt::format("{}  {}  sha256 {}", file.path, hub::human_size(file.size), file.sha256));
  }
  if (flags.check) print_note("[hashes are right]");
  return {};
}

Status show_entry(const hub::CatalogueEntry& entry, const ShowFlags& flags) {
  if (flags.check)
    return make_error(ErrorCode::kNotFound, "'{}' is not here: there is nothing to check", entry.name);
  if (flags.json) {
    Json json = catalogue_json(entry);
    json["path"] = nullptr;
    print_json(json);
    return {};
  }
  print_field("name", entry.name);
  print_field("path", fmt::format("not here: tern pull {}", entry.name));
  print_field("size", fmt::format("about {}", hub::human_size(entry.bytes)));
  print_field("architecture", entry.architecture);
  print_field("parameters", entry.parameters);
  print_field("licence", entry.license);
  print_field("repository", entry.repo);
  print_field("file", entry.file.empty() ? "safetensors and tokenizer" : entry.file);
  print_field("note", entry.note);
  return {};
}

Status run_show(const ShowFlags& flags) {
  TERN_TRY_ASSIGN(const hub::Store store, flags.store.open());
  const auto canonical = hub::canonical_name(flags.name);
  TERN_TRY_ASSIGN(const auto manifest, store.find(canonical.ok() ? *canonical : flags.name));
  if (manifest) return show_model(store, *manifest, flags);
  if (const hub::CatalogueEntry* entry = hub::find_in_catalogue(flags.name)) return show_entry(*entry, flags);
  return make_error(ErrorCode::kNotFound, "no model '{}' in {}: tern list shows what there is",
                    one_line(flags.name, 200), store.root());
}

}  // namespace

void add_show_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ShowFlags>();
  auto* command = app.add_subcommand("show", "a pulled model: origin, licence, files, hashes, path");
  command->add_option("NAME", flags->name, "name of the model")->required();
  flags->store.add_to(*command);
  command->add_flag("--check", flags->check, "compute the hashes of its files anew");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_show(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
