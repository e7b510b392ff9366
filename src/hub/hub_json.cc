// SPDX-License-Identifier: MIT
#include "hub/hub_json.h"

#include <set>

#include "core/printable.h"
#include "hub/digest.h"
#include "hub/json_limits.h"
#include "hub/model_name.h"

namespace tern::hub {
namespace {

constexpr size_t kMaxField = 256;

// A short text of theirs that we keep and print; anything else counts as not stated.
std::string plain_or_empty(const std::optional<std::string>& text) {
  return text && text->size() <= kMaxField && is_plain_text(*text) ? *text : std::string();
}

std::string license_of(const Json& info) {
  if (const auto card = info.find("cardData"); card != info.end()) {
    // license_name is what "other" stands for.
    const std::string name = plain_or_empty(string_member(*card, "license_name"));
    const std::string license = plain_or_empty(string_member(*card, "license"));
    if (!license.empty()) return license == "other" && !name.empty() ? name : license;
  }
  const auto tags = info.find("tags");
  if (tags == info.end() || !tags->is_array()) return {};
  for (const Json& tag : *tags) {
    if (!tag.is_string()) continue;
    const auto text = tag.get<std::string>();
    if (text.starts_with("license:")) return plain_or_empty(text.substr(8));
  }
  return {};
}

std::string architecture_of(const Json& info) {
  if (const auto gguf = info.find("gguf"); gguf != info.end()) {
    const std::string name = plain_or_empty(string_member(*gguf, "architecture"));
    if (!name.empty()) return name;
  }
  const auto config = info.find("config");
  if (config == info.end() || !config->is_object()) return {};
  const auto names = config->find("architectures");
  if (names != config->end() && names->is_array() && !names->empty() && names->front().is_string()) {
    return plain_or_empty(names->front().get<std::string>());
  }
  return plain_or_empty(string_member(*config, "model_type"));
}

Result<RemoteFile> parse_file(const Json& entry, size_t index) {
  const auto path = string_member(entry, "path");
  const auto size = unsigned_member(entry, "size");
  if (!path || !size) {
    return make_error(ErrorCode::kCorrupt, "the hub's list of files: entry {} has no path or no size", index);
  }
  if (!is_safe_path(*path)) {
    return make_error(ErrorCode::kCorrupt,
                      "the hub's list of files: the name '{}' is refused, it could leave the store's folder",
                      printable(*path, 200));
  }
  RemoteFile file{*path, *size, {}, {}};
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    // The pointer's own size counts nowhere; older answers call the hash sha256.
    file.size = unsigned_member(*lfs, "size").value_or(file.size);
    auto oid = string_member(*lfs, "oid");
    if (!oid) oid = string_member(*lfs, "sha256");
    if (oid && oid->starts_with("sha256:")) oid = oid->substr(7);
    if (!oid || !is_hex(*oid, 64)) {
      return make_error(ErrorCode::kCorrupt, "the hub's list of files: '{}' has no SHA-256",
                        printable(*path, 200));
    }
    file.sha256 = *oid;
    return file;
  }
  const auto oid = string_member(entry, "oid");
  if (oid && is_hex(*oid, 40)) file.git_sha1 = *oid;
  return file;
}

}  // namespace

Result<RepoInfo> parse_repo_info(std::string_view text) {
  const auto info = parse_json(text);
  if (!info || !info->is_object()) {
    return make_error(ErrorCode::kCorrupt, "the hub's answer about the repository is no JSON object");
  }
  RepoInfo repo;
  repo.commit = plain_or_empty(string_member(*info, "sha"));
  const bool is_commit = !repo.commit.empty() && repo.commit.size() <= 128 && is_safe_path(repo.commit) &&
                         repo.commit.find('/') == std::string::npos;
  if (!is_commit)
    return make_error(ErrorCode::kCorrupt, "the hub's answer about the repository names no commit (\"sha\")");
  repo.license = license_of(*info);
  repo.architecture = architecture_of(*info);
  return repo;
}

Result<std::vector<RemoteFile>> parse_tree(std::string_view text) {
  const auto list = parse_json(text);
  if (!list || !list->is_array())
    return make_error(ErrorCode::kCorrupt, "the hub's list of files is no JSON array");
  std::vector<RemoteFile> files;
  std::set<std::string> seen;
  size_t index = 0;
  for (const Json& entry : *list) {
    const auto type = string_member(entry, "type");
    if (!type) return make_error(ErrorCode::kCorrupt, "the hub's list of files: entry {} has no type", index);
    if (*type == "file") {
      TERN_TRY_ASSIGN(RemoteFile file, parse_file(entry, index));
      if (!seen.insert(file.path).second) {
        return make_error(ErrorCode::kCorrupt, "the hub's list of files names '{}' twice",
                          printable(file.path, 200));
      }
      files.push_back(std::move(file));
    }
    ++index;
  }
  return files;
}

std::string parse_error_body(std::string_view text) {
  const auto body = parse_json(text);
  return body ? printable(string_member(*body, "error").value_or(""), 300) : std::string();
}

}  // namespace tern::hub
