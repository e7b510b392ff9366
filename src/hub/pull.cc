// SPDX-License-Identifier: MIT
#include "hub/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <map>
#include <thread>

#include "core/printable.h"
#include "hub/blob_download.h"
#include "hub/catalogue.h"
#include "hub/select.h"

namespace tern::hub {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxModelFiles = 500;
constexpr uint64_t kSpareBytes = uint64_t{64} << 20;  // of the disk, for everybody else
constexpr int kMaxRounds = 3;                         // commits that find a blob removed by another process
constexpr auto kTick = std::chrono::milliseconds(100);

/// What is to be pulled, with what the catalogue knows of it.
struct Target {
  std::string name;
  RepoRef ref;
  std::string license, architecture;
};

Result<Target> target_of(std::string_view text) {
  Target target;
  if (const CatalogueEntry* entry = find_in_catalogue(text)) {
    target.name = entry->name;
    target.ref.repo = entry->repo;
    target.ref.selector = entry->file;
    target.license = entry->license;
    target.architecture = entry->architecture;
    return target;
  }
  TERN_TRY_ASSIGN(target.ref, parse_repo_ref(text));
  target.name = target.ref.name();
  return target;
}

/// Lines for the user from any thread, handed out on the caller's.
class Notes {
 public:
  explicit Notes(const std::function<void(const std::string&)>& sink) : sink_(sink) {}
  void add(const std::string& line) {
    const std::lock_guard guard(mutex_);
    lines_.push_back(line);
  }
  void hand_out() {
    std::vector<std::string> lines;
    {
      const std::lock_guard guard(mutex_);
      lines.swap(lines_);
    }
    for (const std::string& line : lines) {
      if (sink_) sink_(line);
    }
  }

 private:
  const std::function<void(const std::string&)>& sink_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// The files of one pull that are not in the store yet, and the threads that fetch them.
class Downloads {
 public:
  Downloads(const Store& store, const Hub& hub, const PullOptions& options, Notes& notes)
      : store_(store), hub_(hub), options_(options), notes_(notes), hub_options_(hub.options()) {
    hub_options_.cancel = &stop_;
  }

  Status open(const std::map<std::string, RemoteFile>& by_key, const std::string& repo,
              const std::string& commit);
  Status run();
  uint64_t fetched_bytes() const { return fetched_; }
  /// SHA-256 by key, of what was fetched.
  const std::map<std::string, std::string>& hashes() const { return hashes_; }
  uint64_t received() const;
  uint64_t total() const;

 private:
  Status check_space(const std::map<std::string, RemoteFile>& by_key) const;
  void work();
  bool work_once(HttpClient& client);
  void fail(const Error& error);
  void wait_and_report();

  const Store& store_;
  const Hub& hub_;
  const PullOptions& options_;
  Notes& notes_;
  std::atomic<bool> stop_{false};  // the user's wish, or a failure: what is in flight ends too
  HubOptions hub_options_;         // with stop_ as what cancels
  std::vector<std::unique_ptr<BlobDownload>> downloads_;
  uint64_t fetched_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  Status status_;                              // the first failure
  std::map<std::string, std::string> hashes_;  // key -> SHA-256
  int working_ = 0;
};

Status Downloads::check_space(const std::map<std::string, RemoteFile>& by_key) const {
  uint64_t needed = 0;
  for (const auto& [key, file] : by_key) {
    struct stat info{};
    const bool has_partial = ::stat(store_.partial_path(key).c_str(), &info) == 0;
    const uint64_t reserved = has_partial ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
    if (file.size > UINT64_MAX / 4 - needed) {
      return make_error(ErrorCode::kCorrupt, "the hub's list says that '{}' has {} bytes",
                        printable(file.path, 200), file.size);
    }
    needed += file.size - std::min(file.size, reserved);
  }
  TERN_TRY_ASSIGN(const uint64_t free, store_.free_bytes());
  if (needed == 0 || needed + kSpareBytes <= free) return {};
  return make_error(ErrorCode::kIo,
                    "{} to download, {} free in {}: make room (tern list, tern rm), or choose another place "
                    "with --store DIR or TERN_STORE",
                    human_size(needed), human_size(free), printable(store_.root(), 512));
}

// In the order of the keys, so that two processes that want the same files never wait for each other in a
// circle.
Status Downloads::open(const std::map<std::string, RemoteFile>& by_key, const std::string& repo,
                       const std::string& commit) {
  TERN_TRY(check_space(by_key));
  for (const auto& [key, file] : by_key) {
    const auto on_wait = [&, path = file.path] {
      notes_.add(
          fmt::format("{} is being downloaded by another process: waiting for it", printable(path, 200)));
      notes_.hand_out();
    };
    TERN_TRY_ASSIGN(FileLock lock,
                    FileLock::acquire(store_.partial_path(key) + ".lock", options_.hub.cancel, on_wait));
    if (!file.sha256.empty() && store_.has_blob(file.sha256, file.size)) {  // whoever was waited for has it
      lock.remove_file();
      hashes_[key] = file.sha256;
      continue;
    }
    TERN_TRY_ASSIGN(auto download,
                    BlobDownload::open(store_, file, hub_.file_url(repo, commit, file.path), hub_options_,
                                       hub_.context(repo, commit), options_.part_bytes, std::move(lock)));
    fetched_ += file.size - download->received();
    downloads_.push_back(std::move(download));
  }
  return {};
}

uint64_t Downloads::received() const {
  uint64_t sum = 0;
  for (const auto& download : downloads_) sum += download->received();
  return sum;
}

uint64_t Downloads::total() const {
  uint64_t sum = 0;
  for (const auto& download : downloads_) sum += download->file().size;
  return sum;
}

void Downloads::fail(const Error& error) {
  const std::lock_guard guard(mutex_);
  if (status_.ok()) status_ = error;
  stop_ = true;
  changed_.notify_all();
}

// Fetches one part or finishes one file; false where there is nothing to do at the moment.
bool Downloads::work_once(HttpClient& client) {
  for (const auto& download : downloads_) {
    if (const auto part = download->next_part()) {
      const Status status = download->fetch(client, *part);
      if (!status.ok()) fail(status.error());
      return true;
    }
    if (!download->claim_finish()) continue;
    auto hash = download->finish();
    if (!hash.ok()) {
      fail(hash.error());
    } else if (*hash) {
      const auto key = partial_key(download->file());
      const std::lock_guard guard(mutex_);
      hashes_[key.value()] = **hash;
    }
    return true;
  }
  return false;
}

void Downloads::work() {
  HttpClient client(hub_.http_options());
  const auto is_over = [&] {
    const std::lock_guard guard(mutex_);
    return !status_.ok() || std::ranges::all_of(downloads_, [](const auto& d) { return d->is_finished(); });
  };
  while (!is_over()) {
    if (work_once(client)) {
      changed_.notify_all();
    } else {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kTick);
    }
  }
  const std::lock_guard guard(mutex_);
  --working_;
  changed_.notify_all();
}

void Downloads::wait_and_report() {
  const std::atomic<bool>* cancel = options_.hub.cancel;
  while (true) {
    if (cancel != nullptr && *cancel) stop_ = true;
    PullProgress progress{received(), total()};
    progress.is_checking = progress.done == progress.total;
    if (options_.on_progress && progress.total > 0) options_.on_progress(progress);
    notes_.hand_out();
    std::unique_lock lock(mutex_);
    if (working_ == 0) return;
    changed_.wait_for(lock, kTick, [&] { return working_ == 0; });
  }
}

Status Downloads::run() {
  if (downloads_.empty()) return {};
  uint64_t parts = 0;
  for (const auto& download : downloads_) parts += 1 + download->file().size / options_.part_bytes;
  const auto count = static_cast<int>(std::min<uint64_t>(parts, static_cast<uint64_t>(options_.connections)));
  std::vector<std::jthread> threads;
  working_ = count;
  for (int i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
  wait_and_report();
  threads.clear();
  notes_.hand_out();
  return status_;
}

/// Hashes that are known without downloading: of the same files of the same commit, pulled before.
std::string known_hash(const Store& store, const std::optional<Manifest>& before, const std::string& commit,
                       const RemoteFile& file) {
  if (!file.sha256.empty()) return store.has_blob(file.sha256, file.size) ? file.sha256 : "";
  if (!before || before->commit != commit) return "";
  for (const ManifestFile& known : before->files) {
    if (known.path == file.path && known.size == file.size && store.has_blob(known.sha256, known.size))
      return known.sha256;
  }
  return "";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/// Downloads what is missing and fills in the manifest's files.
Status fetch_files(const Store& store, const Hub& hub, const PullOptions& options, Notes& notes,
                   const std::vector<RemoteFile>& files, const std::optional<Manifest>& before,
                   PullReport& report) {
  Manifest& manifest = report.manifest;
  std::map<std::string, RemoteFile> missing;  // by key: the same contents twice are fetched once
  std::map<std::string, std::string> hash_of_path;
  for (const RemoteFile& file : files) {
    hash_of_path[file.path] = known_hash(store, before, manifest.commit, file);
    if (!hash_of_path[file.path].empty()) continue;
    TERN_TRY_ASSIGN(const std::string key, partial_key(file));
    missing.emplace(key, file);
  }
  Downloads downloads(store, hub, options, notes);
  TERN_TRY(downloads.open(missing, manifest.repo, manifest.commit));
  const Status status = downloads.run();
  if (!status.ok() && status.error().code == ErrorCode::kCancelled && downloads.total() > 0) {
    return make_error(ErrorCode::kCancelled,
                      "stopped with {} of {}: they are kept, tern pull {} goes on from there",
                      human_size(downloads.received()), human_size(downloads.total()), manifest.name);
  }
  TERN_TRY(status);
  report.downloaded_bytes += downloads.fetched_bytes();
  manifest.files.clear();
  for (const RemoteFile& file : files) {
    std::string hash = hash_of_path[file.path];
    if (hash.empty()) hash = downloads.hashes().at(partial_key(file).value());
    manifest.files.push_back({file.path, file.size, std::move(hash)});
  }
  return {};
}

Result<Selection> resolve(Hub& hub, const Target& target, const std::optional<Manifest>& before,
                          Manifest& manifest) {
  TERN_TRY_ASSIGN(const RepoInfo info, hub.repo_info(target.ref));
  manifest.name = target.name;
  manifest.hub = hub.options().hub;
  manifest.repo = target.ref.repo;
  manifest.revision = target.ref.revision;
  manifest.commit = info.commit;
  manifest.license = info.license.empty() ? target.license : info.license;
  manifest.architecture = target.architecture.empty() ? info.architecture : target.architecture;
  manifest.pulled = before && before->commit == info.commit ? before->pulled : utc_now();
  TERN_TRY_ASSIGN(const std::vector<RemoteFile> files, hub.files(target.ref.repo, info.commit));
  auto selection = select_files(files, target.ref.selector);
  if (!selection.ok()) return std::move(selection).error().in(target.ref.repo);
  if (selection->files.size() > kMaxModelFiles) {
    return make_error(ErrorCode::kUnsupported, "{}: {} files, at most {} are taken", target.ref.repo,
                      selection->files.size(), kMaxModelFiles);
  }
  manifest.entry = selection->entry;
  return selection;
}

}  // namespace

Result<std::string> canonical_name(std::string_view text) {
  TERN_TRY_ASSIGN(const Target target, target_of(text));
  return target.name;
}

Result<PullReport> pull(const Store& store, std::string_view name, const PullOptions& given) {
  const auto begin = Clock::now();
  if (given.connections < 1 || given.connections > 32 || given.part_bytes < 1) {
    return make_error(ErrorCode::kUsage, "{} connections: expected 1 to 32, and parts of at least 1 byte",
                      given.connections);
  }
  TERN_TRY_ASSIGN(const Target target, target_of(name));
  PullOptions options = given;
  Notes notes(given.on_note);
  options.hub.on_note = [&notes](const std::string& line) { notes.add(line); };
  TERN_TRY_ASSIGN(Hub hub, Hub::create(options.hub));
  TERN_TRY(store.prepare());
  // A manifest that cannot be read is as good as none: this pull replaces it.
  std::optional<Manifest> before;
  if (auto found = store.find(target.name); found.ok()) before = std::move(found).value();

  PullReport report;
  auto selection = resolve(hub, target, before, report.manifest);
  notes.hand_out();
  if (!selection.ok()) return std::move(selection).error();
  for (int round = 0; round < kMaxRounds; ++round) {
    TERN_TRY(fetch_files(store, hub, options, notes, selection->files, before, report));
    TERN_TRY_ASSIGN(const bool is_there, store.commit(report.manifest, options.hub.cancel));
    if (!is_there) continue;
    TERN_TRY_ASSIGN(report.path, store.model_path(report.manifest));
    report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return report;
  }
  return make_error(ErrorCode::kIo, "another process removes the files of '{}' while they are pulled",
                    target.name);
}

}  // namespace tern::hub
