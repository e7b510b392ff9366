// SPDX-License-Identifier: MIT
// The folder where pulled models live. Any number of processes may use it at once, and one that is killed at
// any moment leaves every model either whole or absent:
//   blobs/sha256-HEX          contents, named by their hash; appear by a rename after the hash was checked
//   models/NAME.json          manifests; a model exists when its manifest does
//   snapshots/ID/PATH         symbolic links to the blobs under the files' own names
//   partial/KEY[.journal]     downloads that are not finished; KEY.lock: who works on them
//   lock                      held while manifests come and go
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "hub/file_lock.h"
#include "hub/manifest.h"

namespace tern::hub {

struct RemoveReport {
  uint64_t files = 0, bytes = 0;  // of the disk: what other models use too is kept
};

class Store {
 public:
  /// Touches nothing; a store that does not exist yet is an empty one.
  explicit Store(std::string root) : root_(std::move(root)) {}
  const std::string& root() const { return root_; }

  /// Creates the folders. Errors: kIo with the path and how to choose another.
  Status prepare() const;
  /// Bytes that the file system has left for this user. Errors: kIo.
  Result<uint64_t> free_bytes() const;

  /// All models by name; manifests that cannot be read are named in `doubts`. Errors: kIo.
  Result<std::vector<Manifest>> list(std::vector<std::string>* doubts) const;
  /// Errors: kIo, kCorrupt.
  Result<std::optional<Manifest>> find(const std::string& name) const;
  /// Where the model's GGUF, or its directory, is. Errors: kCorrupt where a file of it is missing or has
  /// another size.
  Result<std::string> model_path(const Manifest& manifest) const;
  /// Computes the hashes of the model's files anew. Errors: kCorrupt with the file that is not what it was,
  /// kIo, kCancelled.
  Status check(const Manifest& manifest, const std::atomic<bool>* cancel) const;

  std::string blob_path(std::string_view sha256) const;
  std::string partial_path(std::string_view key) const { return root_ + "/partial/" + std::string(key); }
  std::string lock_path() const { return root_ + "/lock"; }
  bool has_blob(const std::string& sha256, uint64_t size) const;

  /// Makes the model exist. False where a blob is missing (somebody removed it meanwhile): download it again.
  /// Errors: kIo, kCancelled.
  Result<bool> commit(const Manifest& manifest, const std::atomic<bool>* cancel) const;
  /// Takes a model away, and the blobs that no other model uses. Errors: kNotFound, kIo, kCancelled.
  Result<RemoveReport> remove(const std::string& name, const std::atomic<bool>* cancel) const;
  /// Removes partial downloads that nobody works on, and blobs that no model uses. Errors: kIo, kCorrupt
  /// where a manifest cannot be read (its blobs would look unused), kCancelled.
  Result<RemoveReport> remove_leftovers(const std::atomic<bool>* cancel) const;

 private:
  std::string manifest_path(const std::string& name) const;
  std::string snapshot_path(std::string_view id) const { return root_ + "/snapshots/" + std::string(id); }
  Status link_snapshot(const Manifest& manifest) const;
  void remove_snapshot(std::string_view id) const;
  std::string root_;
};

}  // namespace tern::hub
