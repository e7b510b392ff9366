// SPDX-License-Identifier: MIT
// The safetensors files of a checkpoint directory as one set of named tensors, and its small text files.
// Everything is checked against the index before a weight is read.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/result.h"
#include "formats/safetensors.h"

namespace tern {

class HfShards {
 public:
  /// Opens model.safetensors.index.json with its files, or every *.safetensors file of the folder. Errors:
  /// kNotFound where there is none (says what the folder has instead) or a file that the index names is
  /// missing; kCorrupt with the file for a damaged one, for a tensor that is missing, in another file than
  /// the index says, or twice.
  static Result<std::shared_ptr<const HfShards>> open(const std::string& folder);

  /// Null where absent.
  const SafetensorsTensor* find(const std::string& name) const;
  /// All tensors by name.
  const std::map<std::string, const SafetensorsTensor*>& tensors() const { return tensors_; }
  size_t shard_count() const { return files_.size(); }
  uint64_t data_bytes() const { return data_bytes_; }
  const std::string& fingerprint() const { return fingerprint_; }

  /// Gives a tensor's pages back to the system.
  void release(const SafetensorsTensor& tensor) const;

 private:
  Status add(const std::string& folder, const std::string& name);
  Status check_index(const std::map<std::string, std::string>& index) const;
  struct File {
    std::string name;
    std::shared_ptr<const MappedFile> mapped;
    SafetensorsFile parsed;
  };
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, const SafetensorsTensor*> tensors_;
  uint64_t data_bytes_ = 0;
  std::string fingerprint_;
};

/// A small file of a folder: nullopt where it does not exist. Errors: kIo; kCorrupt above `limit` bytes.
Result<std::optional<std::string>> read_small_file(const std::string& folder, const std::string& name,
                                                   uint64_t limit);

}  // namespace tern
