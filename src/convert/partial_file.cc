// SPDX-License-Identifier: MIT
#include "convert/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <utility>

#include "core/printable.h"

namespace tern {
namespace {

constexpr uint64_t kFlushBytes = uint64_t{128} << 20;  // written pages that may wait for the disk

Error io_error(std::string_view what, const std::string& path) {
  return make_error(ErrorCode::kIo, "cannot {} '{}': {}", what, printable(path, 512), std::strerror(errno));
}

Status write_all(int fd, std::span<const std::byte> bytes, uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = EIO;
    if (written <= 0) return io_error("write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Result<std::string> read_all(int fd, uint64_t limit, const std::string& path) {
  std::string text;
  std::array<char, 65536> block;
  while (text.size() < limit) {
    const ssize_t got = ::pread(fd, block.data(), block.size(), static_cast<off_t>(text.size()));
    if (got < 0) return io_error("read", path);
    if (got == 0) break;
    text.append(block.data(), static_cast<size_t>(got));
  }
  return text;
}

/// The digest of a range of the file, or "" where the file ends before it.
Result<std::string> digest_of(int fd, uint64_t offset, uint64_t bytes, const std::string& path) {
  Digest digest;
  std::vector<std::byte> block(std::min<uint64_t>(bytes, 1 << 20));
  while (bytes > 0) {
    const ssize_t got =
        ::pread(fd, block.data(), std::min<uint64_t>(bytes, block.size()), static_cast<off_t>(offset));
    if (got < 0) return io_error("read", path);
    if (got == 0) return std::string();
    digest.update(std::span(block).first(static_cast<size_t>(got)));
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
  return digest.hex();
}

}  // namespace

PartialFile::PartialFile(std::string path, int fd)
    : path_(std::move(path)),
      partial_(path_ + ".partial"),
      journal_path_(path_ + ".partial.journal"),
      fd_(fd) {}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      journal_path_(std::move(other.journal_path_)),
      fd_(std::exchange(other.fd_, -1)),
      journal_(std::exchange(other.journal_, -1)),
      end_(other.end_),
      begin_(other.begin_),
      flushed_(other.flushed_),
      digest_(other.digest_),
      entries_(std::move(other.entries_)) {}

PartialFile::~PartialFile() {
  if (fd_ >= 0) ::close(fd_);
  if (journal_ >= 0) ::close(journal_);
}

Result<PartialFile> PartialFile::open(const std::string& path, const std::string& identity,
                                      const std::string& head) {
  const std::string partial = path + ".partial";
  const int fd = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return io_error("create", partial);
  PartialFile file(path, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return make_error(ErrorCode::kIo, "'{}' is being written by another process", printable(partial, 512));
  }
  file.journal_ = ::open(file.journal_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file.journal_ < 0) return io_error("create", file.journal_path_);
  // The head is compared too: it holds every offset and all metadata.
  Digest digest;
  digest.update(head);
  const std::string full_identity = fmt::format("tern convert 1 {} {}", digest.hex(), identity);
  TERN_TRY(file.read_journal(full_identity, head.size()));
  TERN_TRY_ASSIGN(const std::string head_there, digest_of(fd, 0, head.size(), partial));
  if (file.entries_.empty() || head_there != digest.hex()) TERN_TRY(file.start(full_identity, head));
  file.begin_ = file.flushed_ = file.end_;
  if (::ftruncate(fd, static_cast<off_t>(file.end_)) != 0) return io_error("write", partial);
  return file;
}

Status PartialFile::start(const std::string& identity, const std::string& head) {
  entries_.clear();
  if (::ftruncate(fd_, 0) != 0 || ::ftruncate(journal_, 0) != 0) return io_error("write", partial_);
  TERN_TRY(write_all(fd_, std::as_bytes(std::span(head.data(), head.size())), 0, partial_));
  const std::string line = identity + "\n";
  TERN_TRY(write_all(journal_, std::as_bytes(std::span(line.data(), line.size())), 0, journal_path_));
  end_ = head.size();
  return {};
}

/// Keeps the entries that follow each other without a gap and whose bytes are as they were written.
Status PartialFile::read_journal(const std::string& identity, uint64_t head_bytes) {
  TERN_TRY_ASSIGN(const std::string text, read_all(journal_, uint64_t{256} << 20, journal_path_));
  std::istringstream lines(text);
  std::string line, kept;
  end_ = head_bytes;
  if (!std::getline(lines, line) || line != identity) return {};
  kept = line + "\n";
  while (std::getline(lines, line)) {
    if (lines.eof()) break;  // cut in the middle of the line
    std::istringstream words(line);
    Entry entry;
    std::string digest;
    if (!(words >> entry.offset >> entry.bytes >> digest) || entry.offset != end_ || entry.bytes >> 60 != 0)
      break;
    std::getline(words >> std::ws, entry.note);
    TERN_TRY_ASSIGN(const std::string found, digest_of(fd_, entry.offset, entry.bytes, partial_));
    if (found != digest) break;
    end_ += entry.bytes;
    entries_.push_back(std::move(entry));
    kept += line + "\n";
  }
  if (::ftruncate(journal_, static_cast<off_t>(kept.size())) != 0) return io_error("write", journal_path_);
  return {};
}

Status PartialFile::keep_dirty_pages_few() {
  if (end_ - flushed_ < kFlushBytes) return {};
  // Waits for the range before the last one, starts the last one: the disk is never idle and little is dirty.
  const off_t before = static_cast<off_t>(flushed_ < kFlushBytes ? 0 : flushed_ - kFlushBytes);
  ::sync_file_range(fd_, before, static_cast<off_t>(flushed_) - before,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  ::sync_file_range(fd_, static_cast<off_t>(flushed_), static_cast<off_t>(end_ - flushed_),
                    SYNC_FILE_RANGE_WRITE);
  flushed_ = end_;
  return {};
}

Status PartialFile::append(std::span<const std::byte> bytes) {
  TERN_TRY(write_all(fd_, bytes, end_, partial_));
  digest_.update(bytes);
  end_ += bytes.size();
  return keep_dirty_pages_few();
}

Status PartialFile::finish_tensor(uint64_t alignment, const std::string& note) {
  const std::vector<std::byte> padding((alignment - end_ % alignment) % alignment);
  TERN_TRY(append(padding));
  entries_.push_back({begin_, end_ - begin_, note});
  const std::string line = fmt::format("{} {} {} {}\n", begin_, end_ - begin_, digest_.hex(), note);
  const off_t at = ::lseek(journal_, 0, SEEK_END);
  if (at < 0) return io_error("write", journal_path_);
  TERN_TRY(write_all(journal_, std::as_bytes(std::span(line.data(), line.size())), static_cast<uint64_t>(at),
                     journal_path_));
  begin_ = end_;
  digest_ = Digest();
  return {};
}

Status PartialFile::patch(uint64_t offset, std::string_view bytes) {
  return write_all(fd_, std::as_bytes(std::span(bytes.data(), bytes.size())), offset, partial_);
}

Status PartialFile::commit() {
  if (::fsync(fd_) != 0) return io_error("write", partial_);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) return io_error("create", path_);
  ::unlink(journal_path_.c_str());
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);  // the rename is durable only when the folder is; some file systems cannot, and lose nothing
                  // by it
    ::close(fd);
  }
  return {};
}

void PartialFile::discard() {
  ::unlink(partial_.c_str());
  ::unlink(journal_path_.c_str());
}

}  // namespace tern
