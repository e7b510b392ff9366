// SPDX-License-Identifier: MIT
// A whole file mapped read-only. Decides nothing about its meaning.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "core/result.h"

namespace tern {

class MappedFile {
 public:
  /// Maps `path` (a regular file; an empty one gives an empty span). Errors: kNotFound, kIo, one line with
  /// the path.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  /// Gives the resident pages that lie wholly inside `part` back to the system; reading them again is allowed
  /// and faults them in anew. Used while packing, so that memory stays near the file's size. Never fails.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace tern
