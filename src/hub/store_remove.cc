// SPDX-License-Identifier: MIT
// Removing: a model with the blobs that only it uses, and what interrupted downloads left behind.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "core/printable.h"
#include "hub/store.h"

namespace tern::hub {
namespace fs = std::filesystem;
namespace {

// Everything that the models use.
struct InUse {
  std::set<std::string> blobs, snapshots;

  Status add(const Manifest& manifest) {
    TERN_TRY_ASSIGN(std::string id, snapshot_id(manifest));
    snapshots.insert(std::move(id));
    for (const ManifestFile& file : manifest.files) blobs.insert(file.sha256);
    return {};
  }
};

// What is taken off the disk: blocks, not lengths, since a partial download has holes.
void remove_file(const std::string& path, RemoveReport& report) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || ::unlink(path.c_str()) != 0) return;
  report.files += 1;
  report.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  return names;
}

std::string without_suffix(std::string name) {
  for (const std::string_view suffix : {".lock", ".journal"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

}  // namespace

void Store::remove_snapshot(std::string_view id) const {
  std::error_code ignored;  // links only: what stays takes no room and belongs to no model
  fs::remove_all(snapshot_path(id), ignored);
}

Result<RemoveReport> Store::remove(const std::string& name, const std::atomic<bool>* cancel) const {
  const Error absent = make_error(ErrorCode::kNotFound, "no model '{}' in {}: tern list shows what there is",
                                  printable(name, 200), printable(root_, 512));
  struct stat info{};
  // Before the lock is made: asking about a store that does not exist does not create one.
  if (::lstat(manifest_path(name).c_str(), &info) != 0) return absent;
  TERN_TRY_ASSIGN(const FileLock lock, FileLock::acquire(lock_path(), cancel, nullptr));
  const auto manifest = find(name);
  if (manifest.ok() && !*manifest) return absent;
  std::vector<std::string> doubts;
  TERN_TRY_ASSIGN(const std::vector<Manifest> all, list(&doubts));
  InUse others;
  for (const Manifest& other : all) {
    if (other.name != name) TERN_TRY(others.add(other));
  }
  // The manifest goes first: a kill from here on leaves unused blobs, never a model with a missing one.
  if (::unlink(manifest_path(name).c_str()) != 0) {
    return make_error(ErrorCode::kIo, "cannot remove '{}': {}", printable(manifest_path(name), 512),
                      std::strerror(errno));
  }
  RemoveReport report;
  // A manifest that cannot be read may use any blob: nothing but the one asked for is touched then.
  const size_t unreadable = manifest.ok() ? doubts.size() : doubts.size() - 1;
  if (!manifest.ok() || unreadable > 0) return report;
  TERN_TRY_ASSIGN(const std::string id, snapshot_id(**manifest));
  if (!others.snapshots.contains(id)) remove_snapshot(id);
  for (const ManifestFile& file : (*manifest)->files) {
    if (!others.blobs.contains(file.sha256)) remove_file(blob_path(file.sha256), report);
  }
  return report;
}

Result<RemoveReport> Store::remove_leftovers(const std::atomic<bool>* cancel) const {
  RemoveReport report;
  if (std::error_code ignored; !fs::exists(root_, ignored)) return report;
  TERN_TRY_ASSIGN(const FileLock lock, FileLock::acquire(lock_path(), cancel, nullptr));
  std::vector<std::string> doubts;
  TERN_TRY_ASSIGN(const std::vector<Manifest> all, list(&doubts));
  if (!doubts.empty())
    return make_error(ErrorCode::kCorrupt, "{}: remove or pull that model first", doubts[0]);
  InUse used;
  for (const Manifest& manifest : all) TERN_TRY(used.add(manifest));
  for (const std::string& name : names_in(root_ + "/blobs")) {
    const bool is_used = name.starts_with("sha256-") && used.blobs.contains(name.substr(7));
    if (!is_used) remove_file(root_ + "/blobs/" + name, report);
  }
  for (const std::string& id : names_in(root_ + "/snapshots")) {
    if (!used.snapshots.contains(id)) remove_snapshot(id);
  }
  for (const std::string& name : names_in(root_ + "/models")) {
    if (!name.ends_with(".json")) remove_file(root_ + "/models/" + name, report);
  }
  std::set<std::string> keys;
  for (const std::string& name : names_in(root_ + "/partial")) keys.insert(without_suffix(name));
  for (const std::string& key : keys) {
    const std::string path = partial_path(key);
    TERN_TRY_ASSIGN(std::optional<FileLock> work, FileLock::try_acquire(path + ".lock"));
    if (!work) continue;  // somebody is downloading it
    remove_file(path, report);
    remove_file(path + ".journal", report);
    work->remove_file();
  }
  return report;
}

}  // namespace tern::hub
