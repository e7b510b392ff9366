// SPDX-License-Identifier: MIT
#include "cli/store_report.h"

#include <algorithm>

#include "cli/terminal.h"

namespace tern::cli {

Json manifest_json(const hub::Manifest& m) {
  Json files = Json::array();
  for (const hub::ManifestFile& file : m.files) {
    files.push_back({{"path", file.path}, {"bytes", file.size}, {"sha256", file.sha256}});
  }
  return {{"name", m.name},
          {"bytes", m.total_bytes()},
          {"format", m.entry.empty() ? "safetensors" : "gguf"},
          {"architecture", m.architecture},
          {"license", m.license},
          {"hub", m.hub},
          {"repo", m.repo},
          {"revision", m.revision},
          {"commit", m.commit},
          {"pulled", m.pulled},
          {"files", files}};
}

Json catalogue_json(const hub::CatalogueEntry& entry) {
  return {{"name", entry.name},
          {"bytes", entry.bytes},
          {"format", entry.file.empty() ? "safetensors" : "gguf"},
          {"architecture", entry.architecture},
          {"license", entry.license},
          {"parameters", entry.parameters},
          {"repo", entry.repo},
          {"file", entry.file},
          {"note", entry.note}};
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    fmt::print("{}\n", one_line(line, 1000));
  }
}

}  // namespace tern::cli
