// SPDX-License-Identifier: MIT
// One file on its way into the store: its partial bytes and journal, the parts that workers fetch at the same
// time, and the check of the whole before it becomes a blob.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "hub/hub_client.h"
#include "hub/journal.h"
#include "hub/store.h"

namespace tern::hub {

/// What the partial download of a file is called: its SHA-256, or "git-" and its git hash. Errors: kCorrupt
/// where the hub gives no hash: what cannot be checked is not downloaded.
Result<std::string> partial_key(const RemoteFile& file);

class BlobDownload {
 public:
  /// Reads the journal of the partial download and reserves the disk space. `lock` is that of its partial
  /// path. Errors: kIo.
  static Result<std::unique_ptr<BlobDownload>> open(const Store& store, const RemoteFile& file,
                                                    std::string url, const HubOptions& options,
                                                    HubContext context, uint64_t part_bytes, FileLock lock);
  ~BlobDownload();
  BlobDownload(const BlobDownload&) = delete;
  BlobDownload& operator=(const BlobDownload&) = delete;

  const RemoteFile& file() const { return file_; }
  /// Bytes that are there, by now.
  uint64_t received() const { return received_; }

  /// A part to fetch, or nothing at the moment. Any thread.
  std::optional<Extent> next_part();
  /// Fetches a part that next_part gave, with repetitions. Any thread, with a client of its own. Errors end
  /// the download.
  Status fetch(HttpClient& client, Extent part);
  /// True once for one thread: all parts are there, and that thread shall call finish.
  bool claim_finish();
  /// Checks the hash and makes the blob. The SHA-256; or nothing where bytes kept from an earlier attempt
  /// were wrong and all of it has to be fetched again. Errors: kCorrupt with both hashes (the partial is then
  /// removed), kIo, kCancelled.
  Result<std::optional<std::string>> finish();
  bool is_finished() const { return is_finished_; }

 private:
  BlobDownload(const Store& store, RemoteFile file, std::string url, const HubOptions& options,
               HubContext context, uint64_t part_bytes, std::string path, FileLock lock)
      : store_(store),
        file_(std::move(file)),
        url_(std::move(url)),
        options_(options),
        context_(std::move(context)),
        part_bytes_(part_bytes),
        path_(std::move(path)),
        lock_(std::move(lock)) {}

  struct PartInProgress;
  Status open_files();
  Status rewrite_journal();
  HttpOutcome attempt(HttpClient& client, PartInProgress& part, bool is_repeated);
  Status check_head(const Headers& head, const std::string& linked_tag, const PartInProgress& part);
  Status check_partial_head(const Headers& head, const PartInProgress& part);
  Status check_whole_head(const Headers& head, const PartInProgress& part);
  Status take_body(std::span<const std::byte> bytes, PartInProgress& part);
  Status record(PartInProgress& part);
  Status start_over(bool in_one_stream);
  Status restart_now();
  Result<std::pair<std::string, std::string>> hash_file();
  void discard();
  Status publish(const std::string& sha256);

  const Store& store_;
  const RemoteFile file_;
  const std::string url_;
  const HubOptions& options_;
  const HubContext context_;
  const uint64_t part_bytes_;
  const std::string path_;
  FileLock lock_;
  int fd_ = -1, journal_fd_ = -1;

  std::atomic<uint64_t> received_{0};
  std::atomic<bool> restart_wanted_{false}, is_finished_{false};

  std::mutex mutex_;  // guards what follows
  Journal journal_;
  std::deque<Extent> queue_;
  int in_flight_ = 0, restarts_ = 0;
  bool one_stream_ = false;     // the server does not serve parts
  bool has_old_bytes_ = false;  // some bytes are from an earlier run
  bool is_claimed_ = false;
};

}  // namespace tern::hub
