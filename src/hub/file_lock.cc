// SPDX-License-Identifier: MIT
#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/printable.h"
#include "hub/retry.h"

namespace tern::hub {
namespace {

constexpr double kPollSeconds = 0.1;

Error lock_error(const char* what, const std::string& path) {
  return make_error(ErrorCode::kIo, "cannot {} '{}': {}", what, printable(path, 512), std::strerror(errno));
}

// Between open and flock the holder may have removed the file: a lock on that nobody else would ever see.
bool is_still_there(const std::string& path, int fd) {
  struct stat by_name{}, by_fd{};
  return ::stat(path.c_str(), &by_name) == 0 && ::fstat(fd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
         by_name.st_dev == by_fd.st_dev;
}

}  // namespace

Result<std::optional<FileLock>> FileLock::try_acquire(const std::string& path) {
  while (true) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return lock_error("create", path);
    FileLock lock(path, fd);
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::optional<FileLock>();
      if (errno != EINTR) return lock_error("lock", path);
    }
    if (is_still_there(path, fd)) return std::optional<FileLock>(std::move(lock));
  }
}

Result<FileLock> FileLock::acquire(const std::string& path, const std::atomic<bool>* cancel,
                                   const std::function<void()>& on_wait) {
  for (bool has_waited = false;; has_waited = true) {
    TERN_TRY_ASSIGN(std::optional<FileLock> lock, try_acquire(path));
    if (lock) return std::move(*lock);
    if (!has_waited && on_wait) on_wait();
    TERN_TRY(wait_seconds(kPollSeconds, cancel));
  }
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

void FileLock::remove_file() { ::unlink(path_.c_str()); }

}  // namespace tern::hub
