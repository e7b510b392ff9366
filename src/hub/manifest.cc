// SPDX-License-Identifier: MIT
#include "hub/manifest.h"

#include <algorithm>
#include <set>

#include "core/printable.h"
#include "hub/digest.h"
#include "hub/json_limits.h"
#include "hub/model_name.h"

namespace tern::hub {
namespace {

constexpr uint64_t kVersion = 1;

Error wrong(std::string_view what) {
  return make_error(ErrorCode::kCorrupt, "not a model's manifest: {}", what);
}

Result<ManifestFile> parse_file(const Json& entry) {
  const auto path = string_member(entry, "path"), sha256 = string_member(entry, "sha256");
  const auto size = unsigned_member(entry, "size");
  if (!path || !is_safe_path(*path)) return wrong("a file without a safe path");
  if (!size) return wrong("a file without its size");
  if (!sha256 || !is_hex(*sha256, 64)) return wrong("a file without its SHA-256");
  return ManifestFile{*path, *size, *sha256};
}

}  // namespace

uint64_t Manifest::total_bytes() const {
  uint64_t total = 0;
  for (const ManifestFile& file : files) total += file.size;
  return total;
}

std::string manifest_text(const Manifest& m) {
  Json files = Json::array();
  for (const ManifestFile& file : m.files) {
    files.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}});
  }
  const Json json = {{"tern_manifest", kVersion},
                     {"name", m.name},
                     {"hub", m.hub},
                     {"repo", m.repo},
                     {"revision", m.revision},
                     {"commit", m.commit},
                     {"license", m.license},
                     {"architecture", m.architecture},
                     {"entry", m.entry},
                     {"pulled", m.pulled},
                     {"files", files}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto json = parse_json(text);
  if (!json || !json->is_object()) return wrong("no JSON object");
  if (unsigned_member(*json, "tern_manifest") != kVersion) return wrong("its version is not 1");
  Manifest m;
  const std::pair<const char*, std::string*> fields[] = {{"name", &m.name},
                                                         {"hub", &m.hub},
                                                         {"repo", &m.repo},
                                                         {"revision", &m.revision},
                                                         {"commit", &m.commit},
                                                         {"license", &m.license},
                                                         {"architecture", &m.architecture},
                                                         {"entry", &m.entry},
                                                         {"pulled", &m.pulled}};
  for (const auto& [key, field] : fields) {
    const auto value = string_member(*json, key);
    if (!value || value->size() > 2048 || !is_plain_text(*value))
      return wrong(fmt::format("\"{}\" is missing", key));
    *field = *value;
  }
  if (!is_model_name(m.name)) return wrong("\"name\" is no model's name");
  const auto files = json->find("files");
  if (files == json->end() || !files->is_array() || files->empty()) return wrong("no files");
  std::set<std::string> seen;
  for (const Json& entry : *files) {
    TERN_TRY_ASSIGN(ManifestFile file, parse_file(entry));
    if (!seen.insert(file.path).second) return wrong("a file twice");
    m.files.push_back(std::move(file));
  }
  if (!m.entry.empty() && !seen.contains(m.entry)) return wrong("\"entry\" is none of its files");
  return m;
}

Result<std::string> snapshot_id(const Manifest& manifest) {
  std::vector<std::string> lines;
  for (const ManifestFile& file : manifest.files) lines.push_back(file.sha256 + " " + file.path + "\n");
  std::ranges::sort(lines);
  std::string all;
  for (const std::string& line : lines) all += line;
  TERN_TRY_ASSIGN(const std::string digest, sha256_of(all));
  return digest.substr(0, 32);
}

}  // namespace tern::hub
