// SPDX-License-Identifier: MIT
// A file that appears under its name only when it is complete: written beside the target under a temporary
// name, then fsync, rename, fsync of the folder. Without commit() nothing is left behind. Used by every
// writer of model files.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern {

class AtomicFile {
 public:
  /// Opens a new temporary beside `path`. Errors: kIo with the path (no such folder, permission, disk full).
  static Result<AtomicFile> create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  ~AtomicFile();  // removes the temporary unless committed

  /// Appends all of `bytes`. Errors: kIo with the path; the file is then good for nothing but destruction.
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Makes the file durable and gives it its name, replacing what had it. Call once, last.
  Status commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_, temporary_;
  int fd_;  // -1 once closed or moved from
};

/// A whole file in one call: create, write, commit. Errors: kIo with the path.
Status write_atomically(const std::string& path, std::string_view text);

}  // namespace tern
