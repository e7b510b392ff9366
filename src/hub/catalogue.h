// SPDX-License-Identifier: MIT
// The ternary and 1-bit models that people run, by short names: where they are and which files to take. One
// table, in catalogue.cc; `tern list --available` prints it, `tern pull NAME` looks it up.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tern::hub {

struct CatalogueEntry {
  std::string_view name;
  std::string_view repo;
  std::string_view file;  // the GGUF to take; empty: a directory of safetensors, to be converted
  uint64_t bytes;         // of what is downloaded, about; the hub's own figure counts
  std::string_view license;
  std::string_view architecture;  // as GGUF files spell it
  std::string_view parameters;
  std::string_view note;
};

/// All entries, smallest download first.
std::span<const CatalogueEntry> catalogue();

/// The entry of that name (case does not matter), or nullptr.
const CatalogueEntry* find_in_catalogue(std::string_view name);

}  // namespace tern::hub
