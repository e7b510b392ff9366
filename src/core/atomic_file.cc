// SPDX-License-Identifier: MIT
#include "core/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/printable.h"

namespace tern {
namespace {

constexpr int kMaxNameAttempts =
    1000;  // leftovers of crashed processes with our id; more than a few never happen

Error io_error(std::string_view what, const std::string& path) {
  return make_error(ErrorCode::kIo, "cannot {} '{}': {}", what, printable(path, 512), std::strerror(errno));
}

// The rename is durable only when the folder is. Some file systems cannot sync a folder (EINVAL): nothing to
// do there.
Status sync_folder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? Status() : Status(io_error("open the folder", folder));
  const bool failed = ::fsync(fd) != 0 && errno != EINVAL;
  Status status = failed ? Status(io_error("sync the folder", folder)) : Status();
  ::close(fd);
  return status;
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  for (int attempt = 0; attempt < kMaxNameAttempts; ++attempt) {
    std::string temporary = fmt::format("{}.tmp-{}-{}", path, ::getpid(), attempt);
    // Not mkstemp: the mode must follow the user's umask, as for any file.
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return AtomicFile(path, std::move(temporary), fd);
    if (errno != EEXIST) break;
  }
  return io_error("create", path);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  TERN_CHECK(fd_ >= 0, "write after commit");
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = EIO;  // a regular file never takes nothing; do not loop if one does
    if (written <= 0) return io_error("write", path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status AtomicFile::commit() {
  TERN_CHECK(fd_ >= 0, "commit twice");
  if (::fsync(fd_) != 0) return io_error("write", path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return io_error("create", path_);
  // From here the file has its name; only its durability could still fail.
  ::close(std::exchange(fd_, -1));
  return sync_folder(path_);
}

Status write_atomically(const std::string& path, std::string_view text) {
  TERN_TRY_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(text));
  return file.commit();
}

}  // namespace tern
