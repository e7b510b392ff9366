// SPDX-License-Identifier: MIT
#include "hub/blob_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/atomic_file.h"
#include "core/mapped_file.h"
#include "core/printable.h"
#include "hub/digest.h"

namespace tern::hub {
namespace {

constexpr uint64_t kRecordBytes = uint64_t{4} << 20;  // a kill loses at most this much of each part
constexpr size_t kHashBlock = size_t{1} << 20;
constexpr int kMaxRestarts = 3;

Error file_error(const char* what, const std::string& path) {
  if (errno == ENOSPC || errno == EDQUOT) {
    return make_error(ErrorCode::kIo,
                      "the disk is full while writing '{}': what is there is kept; make room and pull again",
                      printable(path, 512));
  }
  return make_error(ErrorCode::kIo, "cannot {} '{}': {}", what, printable(path, 512), std::strerror(errno));
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return file_error("write", path);
    text.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Status sync_folder_of(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/'));
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return file_error("open", folder);
  const bool failed = ::fsync(fd) != 0 && errno != EINVAL;  // some file systems cannot
  Status status = failed ? Status(file_error("sync", folder)) : Status();
  ::close(fd);
  return status;
}

}  // namespace

/// A part and how far it has come.
struct BlobDownload::PartInProgress {
  Extent extent;
  uint64_t at = 0;         // next byte to come
  uint64_t recorded = 0;   // the journal knows of what is before
  bool has_range = false;  // of the request in progress
};

Result<std::string> partial_key(const RemoteFile& file) {
  if (!file.sha256.empty()) return file.sha256;
  if (!file.git_sha1.empty()) return "git-" + file.git_sha1;
  return make_error(ErrorCode::kCorrupt, "the hub's list gives no hash for '{}': it could not be checked",
                    printable(file.path, 200));
}

Result<std::unique_ptr<BlobDownload>> BlobDownload::open(const Store& store, const RemoteFile& file,
                                                         std::string url, const HubOptions& options,
                                                         HubContext context, uint64_t part_bytes,
                                                         FileLock lock) {
  TERN_TRY_ASSIGN(const std::string key, partial_key(file));
  std::unique_ptr<BlobDownload> download(new BlobDownload(store, file, std::move(url), options,
                                                          std::move(context), part_bytes,
                                                          store.partial_path(key), std::move(lock)));
  TERN_TRY(download->open_files());
  return download;
}

BlobDownload::~BlobDownload() {
  if (fd_ >= 0) ::close(fd_);
  if (journal_fd_ >= 0) ::close(journal_fd_);
}

Status BlobDownload::open_files() {
  const std::string journal_path = path_ + ".journal";
  journal_.size = file_.size;
  struct stat info{};
  const bool has_data = ::stat(path_.c_str(), &info) == 0;
  if (const auto text = MappedFile::open(journal_path); text.ok() && has_data) {
    const auto bytes = (*text)->bytes();
    auto known = parse_journal({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file_.size);
    const auto extents = known ? known->done.extents() : std::vector<Extent>();
    const uint64_t end = extents.empty() ? 0 : extents.back().end;
    if (known && end <= static_cast<uint64_t>(info.st_size)) journal_ = std::move(*known);
  }
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) return file_error("create", path_);
  if (::ftruncate(fd_, static_cast<off_t>(file_.size)) != 0) return file_error("size", path_);
#ifdef __linux__
  // Reserved now, so that a full disk shows before hours of downloading. Not every file system can.
  if (file_.size > 0 && ::fallocate(fd_, 0, 0, static_cast<off_t>(file_.size)) != 0 && errno == ENOSPC) {
    return file_error("reserve", path_);
  }
#endif
  TERN_TRY(rewrite_journal());
  has_old_bytes_ = journal_.done.count() > 0;
  received_ = journal_.done.count();
  for (const Extent& part : plan_parts(journal_.done.missing(file_.size), part_bytes_))
    queue_.push_back(part);
  return {};
}

Status BlobDownload::rewrite_journal() {
  const std::string path = path_ + ".journal";
  TERN_TRY(write_atomically(path, journal_text(journal_)));
  if (journal_fd_ >= 0) ::close(journal_fd_);
  journal_fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  return journal_fd_ >= 0 ? Status() : Status(file_error("open", path));
}

std::optional<Extent> BlobDownload::next_part() {
  const std::lock_guard guard(mutex_);
  if (restart_wanted_ && (in_flight_ > 0 || !restart_now().ok())) return std::nullopt;
  if (queue_.empty()) return std::nullopt;
  const Extent part = queue_.front();
  queue_.pop_front();
  ++in_flight_;
  return part;
}

Status BlobDownload::fetch(HttpClient& client, Extent extent) {
  PartInProgress part{extent, extent.begin, extent.begin};
  uint64_t farthest = part.at;
  bool is_repeated = false;
  Status status;
  for (int failures = 0; part.at < extent.end;) {
    const HttpOutcome outcome = attempt(client, part, is_repeated);
    is_repeated = true;
    if (restart_wanted_) break;  // abandoned, not failed
    if (outcome.status.ok() && part.at == extent.end) break;
    if (part.at > farthest) failures = 0;  // it goes on, if in pieces
    farthest = std::max(farthest, part.at);
    HttpOutcome failed = outcome;
    if (outcome.status.ok()) {  // ended early without an error: a length that was not announced
      failed.status =
          make_error(ErrorCode::kIo, "{}: the answer ended {} bytes early", url_, extent.end - part.at);
      failed.is_transient = true;
    }
    status = wait_before_retry(options_, failed, ++failures, explain(failed, context_, file_.path));
    if (!status.ok()) break;
    const std::lock_guard guard(mutex_);
    if (one_stream_) {  // nothing to go on from
      journal_.done = {};
      received_ = 0;
      part.at = part.recorded = 0;
    }
  }
  const std::lock_guard guard(mutex_);
  --in_flight_;
  return status;
}

HttpOutcome BlobDownload::attempt(HttpClient& client, PartInProgress& part, bool is_repeated) {
  HttpRequest request;
  request.fresh_connection = is_repeated;
  request.url = url_;
  request.cancel = options_.cancel;
  const Extent wanted{part.at, part.extent.end};
  // The whole file is asked for as such: not every server knows ranges.
  part.has_range = wanted.size() != file_.size;
  if (part.has_range) {
    request.range = wanted;
    const std::lock_guard guard(mutex_);
    request.if_range = journal_.tag;
  }
  request.on_head = [&](const Headers& head, const std::string& linked_tag) {
    return check_head(head, linked_tag, part);
  };
  request.on_body = [&](std::span<const std::byte> bytes) { return take_body(bytes, part); };
  HttpOutcome outcome = client.get(request);
  if (restart_wanted_) return outcome;
  if (const Status recorded = record(part); !recorded.ok()) {
    outcome.status = recorded;
    outcome.is_transient = false;
  }
  return outcome;
}

Status BlobDownload::check_head(const Headers& head, const std::string& linked_tag,
                                const PartInProgress& part) {
  if (restart_wanted_) return make_error(ErrorCode::kCancelled, "starts over");
  if (is_hex(linked_tag, 64) && !file_.sha256.empty() && linked_tag != file_.sha256) {
    return make_error(ErrorCode::kCorrupt, "'{}': the hub serves a file with SHA-256 {} and lists {}",
                      printable(file_.path, 200), linked_tag, file_.sha256);
  }
  if (head.status() == 206 && part.has_range) return check_partial_head(head, part);
  if (head.status() == 200) return check_whole_head(head, part);
  return make_error(ErrorCode::kCorrupt, "'{}': HTTP status {} to a request for {}",
                    printable(file_.path, 200), head.status(), part.has_range ? "a part" : "the whole");
}

Status BlobDownload::check_partial_head(const Headers& head, const PartInProgress& part) {
  const auto value = head.find("content-range");
  const auto range = value ? parse_content_range(*value) : std::nullopt;
  if (!range || range->first != part.at || range->last >= part.extent.end) {
    return make_error(ErrorCode::kCorrupt, "'{}': asked for bytes {} to {}, the server sends '{}'",
                      printable(file_.path, 200), part.at, part.extent.end - 1,
                      printable(value.value_or("no Content-Range"), 100));
  }
  if (range->total && *range->total != file_.size) {
    return make_error(ErrorCode::kCorrupt, "'{}' has {} bytes in the hub's list, {} at the server",
                      printable(file_.path, 200), file_.size, *range->total);
  }
  const auto tag_value = head.find("etag");
  const auto tag = tag_value ? parse_entity_tag(*tag_value) : std::nullopt;
  if (!tag || tag->is_weak) return {};
  const std::lock_guard guard(mutex_);
  if (journal_.tag.empty()) {
    journal_.tag = tag->value;
    return write_all(journal_fd_, journal_tag_line(tag->value), path_ + ".journal");
  }
  // Other bytes under the same name: a server that ignores If-Range.
  return journal_.tag == tag->value ? Status() : start_over(false);
}

Status BlobDownload::check_whole_head(const Headers& head, const PartInProgress& part) {
  const auto tag_value = head.find("etag");
  const auto tag = tag_value ? parse_entity_tag(*tag_value) : std::nullopt;
  const std::lock_guard guard(mutex_);
  if (part.has_range) {
    // Either the bytes have changed, or the server does not know ranges.
    const bool has_changed = tag && !journal_.tag.empty() && tag->value != journal_.tag;
    return start_over(!has_changed);
  }
  const auto length = head.content_length();
  if (length && *length != file_.size) {
    return make_error(ErrorCode::kCorrupt, "'{}' has {} bytes in the hub's list, {} at the server",
                      printable(file_.path, 200), file_.size, *length);
  }
  if (!tag || tag->is_weak || tag->value == journal_.tag) return {};
  journal_.tag = tag->value;  // nothing was kept under another one
  return rewrite_journal();
}

// Under mutex_. All parts in flight end; the one who asks for the next part when none is left does the rest.
Status BlobDownload::start_over(bool in_one_stream) {
  if (restart_wanted_) return make_error(ErrorCode::kCancelled, "starts over");  // another part was first
  if (++restarts_ > kMaxRestarts) {
    return make_error(ErrorCode::kCorrupt,
                      "'{}' changes at the server while it is downloaded: try again later",
                      printable(file_.path, 200));
  }
  one_stream_ = one_stream_ || in_one_stream;
  restart_wanted_ = true;
  if (options_.on_note) {
    options_.on_note(
        fmt::format("{}: {}; starting over", printable(file_.path, 200),
                    in_one_stream ? "the server does not send parts" : "the file has changed at the server"));
  }
  return make_error(ErrorCode::kCancelled, "starts over");
}

// Under mutex_.
Status BlobDownload::restart_now() {
  journal_.done = {};
  journal_.tag.clear();
  received_ = 0;
  has_old_bytes_ = false;
  queue_.clear();
  const uint64_t part_bytes = one_stream_ ? std::max<uint64_t>(1, file_.size) : part_bytes_;
  for (const Extent& part : plan_parts(journal_.done.missing(file_.size), part_bytes)) queue_.push_back(part);
  restart_wanted_ = false;
  return rewrite_journal();
}

Status BlobDownload::take_body(std::span<const std::byte> bytes, PartInProgress& part) {
  if (restart_wanted_) return make_error(ErrorCode::kCancelled, "starts over");
  if (bytes.size() > part.extent.end - part.at) {
    return make_error(ErrorCode::kCorrupt, "'{}': the server sends more bytes than it was asked for",
                      printable(file_.path, 200));
  }
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(part.at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return file_error("write", path_);
    part.at += static_cast<uint64_t>(count);
    received_ += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return part.at - part.recorded >= kRecordBytes ? record(part) : Status();
}

Status BlobDownload::record(PartInProgress& part) {
  if (part.at == part.recorded) return {};
  const Extent have{part.recorded, part.at};
  const std::lock_guard guard(mutex_);
  if (restart_wanted_) return {};
  journal_.done.add(have);
  part.recorded = part.at;
  return write_all(journal_fd_, journal_line(have), path_ + ".journal");
}

bool BlobDownload::claim_finish() {
  const std::lock_guard guard(mutex_);
  if (is_claimed_ || restart_wanted_ || in_flight_ > 0 || !journal_.done.covers(file_.size)) return false;
  is_claimed_ = true;
  return true;
}

// SHA-256, and git's SHA-1: that of "blob SIZE\0" and the contents.
Result<std::pair<std::string, std::string>> BlobDownload::hash_file() {
  TERN_TRY_ASSIGN(Digest sha256, Digest::create(Digest::Kind::kSha256));
  TERN_TRY_ASSIGN(Digest sha1, Digest::create(Digest::Kind::kSha1));
  const bool needs_git = file_.sha256.empty();
  if (needs_git) sha1.update(fmt::format("blob {}", file_.size) + '\0');
  std::vector<std::byte> block(kHashBlock);
  for (uint64_t at = 0; at < file_.size;) {
    if (options_.cancel != nullptr && *options_.cancel) return make_error(ErrorCode::kCancelled, "stopped");
    const ssize_t count = ::pread(fd_, block.data(), block.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return file_error("read", path_);
    const auto part = std::span(block).first(static_cast<size_t>(count));
    sha256.update(part);
    if (needs_git) sha1.update(part);
    at += static_cast<uint64_t>(count);
  }
  std::string git = needs_git ? sha1.finish() : "";
  return std::pair(sha256.finish(), std::move(git));
}

Result<std::optional<std::string>> BlobDownload::finish() {
  TERN_TRY_ASSIGN(const auto hashes, hash_file());
  const bool is_right = file_.sha256.empty() ? hashes.second == file_.git_sha1 : hashes.first == file_.sha256;
  if (is_right) {
    TERN_TRY(publish(hashes.first));
    is_finished_ = true;
    return std::optional<std::string>(hashes.first);
  }
  const std::lock_guard guard(mutex_);
  if (has_old_bytes_) {  // a disk or a power cut may be to blame, not the server: once more, from the
                         // beginning
    if (options_.on_note)
      options_.on_note(
          fmt::format("{}: what was kept of it is damaged; starting over", printable(file_.path, 200)));
    is_claimed_ = false;
    TERN_TRY(restart_now());
    return std::optional<std::string>();
  }
  discard();
  return make_error(ErrorCode::kCorrupt,
                    "'{}' is not what the hub lists: its {} is {}, expected {}; it was not kept",
                    printable(file_.path, 200), file_.sha256.empty() ? "git hash" : "SHA-256",
                    file_.sha256.empty() ? hashes.second : hashes.first,
                    file_.sha256.empty() ? file_.git_sha1 : file_.sha256);
}

void BlobDownload::discard() {
  ::unlink(path_.c_str());
  ::unlink((path_ + ".journal").c_str());
  lock_.remove_file();
}

// The blob gets its name when its bytes are known to be right and on the disk.
Status BlobDownload::publish(const std::string& sha256) {
  const std::string blob = store_.blob_path(sha256);
  if (::fsync(fd_) != 0) return file_error("write", path_);
  if (::rename(path_.c_str(), blob.c_str()) != 0) return file_error("create", blob);
  TERN_TRY(sync_folder_of(blob));
  ::unlink((path_ + ".journal").c_str());
  lock_.remove_file();
  return {};
}

}  // namespace tern::hub
