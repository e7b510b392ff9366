// SPDX-License-Identifier: MIT
// A lock between processes (and between threads): an flock on a file of its own. The kernel gives it back
// when its holder dies, however it dies.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "core/result.h"

namespace tern::hub {

class FileLock {
 public:
  /// The lock, or nothing where somebody else holds it. Creates the file where it is absent. Errors: kIo with
  /// the path.
  static Result<std::optional<FileLock>> try_acquire(const std::string& path);
  /// Waits for it; `on_wait` is called once when it has to. Errors: kIo, kCancelled.
  static Result<FileLock> acquire(const std::string& path, const std::atomic<bool>* cancel,
                                  const std::function<void()>& on_wait);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  FileLock(const FileLock&) = delete;
  ~FileLock();

  /// Removes the file while the lock is held: whoever waited for it sees that it is gone and makes a new one.
  void remove_file();

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace tern::hub
