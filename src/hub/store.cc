// SPDX-License-Identifier: MIT
#include "hub/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/atomic_file.h"
#include "core/mapped_file.h"
#include "core/printable.h"
#include "hub/digest.h"
#include "hub/model_name.h"
#include "hub/url.h"

namespace tern::hub {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxManifestBytes = size_t{16} << 20;
constexpr std::string_view kSuffix = ".json";

Error store_error(std::string_view what, const std::string& path, const std::error_code& error) {
  return make_error(ErrorCode::kIo,
                    "cannot {} '{}': {} (--store DIR or TERN_STORE chooses another place for models)", what,
                    printable(path, 512), error.message());
}

Result<Manifest> read_manifest(const std::string& path) {
  TERN_TRY_ASSIGN(const auto file, MappedFile::open(path));
  const auto bytes = file->bytes();
  if (bytes.size() > kMaxManifestBytes) {
    return make_error(ErrorCode::kCorrupt, "'{}': not a model's manifest: {} bytes", printable(path, 512),
                      bytes.size());
  }
  auto manifest = parse_manifest({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!manifest.ok()) return std::move(manifest).error().in(printable(path, 512));
  return manifest;
}

}  // namespace

Status Store::prepare() const {
  for (const char* folder : {"blobs", "models", "snapshots", "partial"}) {
    std::error_code error;
    const std::string path = root_ + "/" + folder;
    fs::create_directories(path, error);
    if (error) return store_error("create", path, error);
  }
  return {};
}

Result<uint64_t> Store::free_bytes() const {
  struct statvfs info{};
  if (::statvfs(root_.c_str(), &info) != 0) {
    return store_error("read", root_, std::error_code(errno, std::generic_category()));
  }
  return uint64_t{info.f_bavail} * info.f_frsize;
}

std::string Store::blob_path(std::string_view sha256) const {
  return fmt::format("{}/blobs/sha256-{}", root_, sha256);
}

bool Store::has_blob(const std::string& sha256, uint64_t size) const {
  struct stat info{};
  return ::stat(blob_path(sha256).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<uint64_t>(info.st_size) == size;
}

// A slash in a model's name may not make a folder: "a/b" is a%2Fb.json.
std::string Store::manifest_path(const std::string& name) const {
  return fmt::format("{}/models/{}{}", root_, percent_encode(name, false), kSuffix);
}

Result<std::vector<Manifest>> Store::list(std::vector<std::string>* doubts) const {
  std::vector<Manifest> manifests;
  std::error_code error;
  const std::string folder = root_ + "/models";
  fs::directory_iterator at(folder, error);
  if (error == std::errc::no_such_file_or_directory) return manifests;
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    const std::string path = at->path().string();
    if (!path.ends_with(kSuffix)) continue;  // what a killed writer left behind
    auto manifest = read_manifest(path);
    if (manifest.ok() && manifest_path(manifest->name) != path) {
      manifest =
          make_error(ErrorCode::kCorrupt, "'{}': a manifest of '{}'", printable(path, 512), manifest->name);
    }
    if (manifest.ok()) {
      manifests.push_back(std::move(manifest).value());
    } else if (manifest.error().code != ErrorCode::kNotFound) {  // removed between the two calls
      doubts->push_back(manifest.error().message);
    }
  }
  if (error) return store_error("read", folder, error);
  std::ranges::sort(manifests, {}, &Manifest::name);
  return manifests;
}

Result<std::optional<Manifest>> Store::find(const std::string& name) const {
  if (!is_model_name(name)) return std::optional<Manifest>();
  auto manifest = read_manifest(manifest_path(name));
  if (manifest.ok() && manifest->name == name) return std::optional<Manifest>(std::move(manifest).value());
  if (manifest.ok())
    return make_error(ErrorCode::kCorrupt, "the manifest of '{}' is that of '{}'", name, manifest->name);
  if (manifest.error().code == ErrorCode::kNotFound) return std::optional<Manifest>();
  return std::move(manifest).error();
}

Result<std::string> Store::model_path(const Manifest& manifest) const {
  TERN_TRY_ASSIGN(const std::string id, snapshot_id(manifest));
  const std::string folder = snapshot_path(id);
  for (const ManifestFile& file : manifest.files) {
    struct stat info{};
    const bool is_there = ::stat((folder + "/" + file.path).c_str(), &info) == 0;
    if (is_there && static_cast<uint64_t>(info.st_size) == file.size && has_blob(file.sha256, file.size))
      continue;
    return make_error(
        ErrorCode::kCorrupt,
        "model '{}': its file '{}' is missing from the store or has another size: tern pull {} heals it",
        manifest.name, printable(file.path, 200), manifest.name);
  }
  return manifest.entry.empty() ? folder : folder + "/" + manifest.entry;
}

Status Store::check(const Manifest& manifest, const std::atomic<bool>* cancel) const {
  constexpr size_t kBlock = size_t{1} << 20;
  for (const ManifestFile& file : manifest.files) {
    TERN_TRY_ASSIGN(const auto blob, MappedFile::open(blob_path(file.sha256)));
    TERN_TRY_ASSIGN(Digest digest, Digest::create(Digest::Kind::kSha256));
    for (auto rest = blob->bytes(); !rest.empty();) {
      if (cancel != nullptr && *cancel) return make_error(ErrorCode::kCancelled, "stopped");
      const auto part = rest.first(std::min(rest.size(), kBlock));
      digest.update(part);
      rest = rest.subspan(part.size());
    }
    if (const std::string found = digest.finish(); found != file.sha256) {
      return make_error(ErrorCode::kCorrupt,
                        "model '{}': '{}' has changed on the disk: its SHA-256 is {}, expected {}; tern rm "
                        "{} and pull again",
                        manifest.name, printable(file.path, 200), found, file.sha256, manifest.name);
    }
  }
  return {};
}

Status Store::link_snapshot(const Manifest& manifest) const {
  TERN_TRY_ASSIGN(const std::string id, snapshot_id(manifest));
  for (const ManifestFile& file : manifest.files) {
    const fs::path link = fs::path(snapshot_path(id)) / file.path;
    // Relative, so that the store may be moved as a whole.
    std::string target = "../../";
    for (const char c : file.path) target += c == '/' ? "../" : "";
    target += "blobs/sha256-" + file.sha256;
    std::error_code error;
    if (fs::read_symlink(link, error) == target && !error) continue;
    fs::create_directories(link.parent_path(), error);
    if (error) return store_error("create", link.parent_path().string(), error);
    fs::remove(link, error);
    fs::create_symlink(target, link, error);
    if (error) return store_error("create", link.string(), error);
  }
  return {};
}

Result<bool> Store::commit(const Manifest& manifest, const std::atomic<bool>* cancel) const {
  TERN_TRY_ASSIGN(const FileLock lock, FileLock::acquire(lock_path(), cancel, nullptr));
  for (const ManifestFile& file : manifest.files) {
    if (!has_blob(file.sha256, file.size)) return false;
  }
  TERN_TRY(link_snapshot(manifest));
  TERN_TRY(write_atomically(manifest_path(manifest.name), manifest_text(manifest)));
  return true;
}

}  // namespace tern::hub
