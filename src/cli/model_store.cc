// SPDX-License-Identifier: MIT
#include "cli/model_store.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "cli/options.h"
#include "cli/terminal.h"
#include "hub/catalogue.h"
#include "hub/model_name.h"
#include "hub/transfer_rate.h"

namespace tern::cli {

namespace {

constexpr const char* kDefaultHub = "https://huggingface.co";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The line with speed and time left: on a terminal only, at most ten times a second, erased when done.
class TransferProgress {
 public:
  explicit TransferProgress(std::string name) : name_(std::move(name)), enabled_(stderr_is_terminal()) {}
  ~TransferProgress() { erase(); }
  TransferProgress(const TransferProgress&) = delete;
  TransferProgress& operator=(const TransferProgress&) = delete;

  void update(const hub::PullProgress& progress) {
    const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
    rate_.update(progress.done, now.count());
    if (!enabled_) return;
    const std::string label = (progress.is_checking ? "checking " : "pulling ") + name_;
    const std::string line =
        hub::transfer_line(label, progress.done, progress.total, rate_, terminal_width() - 1);
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    is_drawn_ = true;
  }

  void erase() {
    if (is_drawn_) std::fprintf(stderr, "\r\033[K");
    is_drawn_ = false;
  }

 private:
  std::string name_;
  bool enabled_, is_drawn_ = false;
  hub::TransferRate rate_;
};

/// What can only be a path, so that the error is the one of a file that is not there.
bool is_path(const std::string& text) {
  return text.starts_with("/") || text.starts_with(".") || text.starts_with("~") || text.ends_with(".gguf") ||
         text.ends_with(".safetensors") || text.ends_with("/");
}

Error not_a_model(const std::string& text) {
  return make_error(
      ErrorCode::kNotFound,
      "'{}': No such file, no pulled model (tern list), and no name of the catalogue (tern list --available)",
      one_line(text, 200));
}

/// "1.19 GB, licence mit" as far as it is known before asking the hub.
std::string known_facts(const std::string& name) {
  const hub::CatalogueEntry* entry = hub::find_in_catalogue(name);
  return entry == nullptr
             ? ""
             : fmt::format(" (about {}, licence {})", hub::human_size(entry->bytes), entry->license);
}

}  // namespace

void StoreFlags::add_to(CLI::App& command) {
  command.add_option("--store", path,
                     "folder of the models (else TERN_STORE, $XDG_DATA_HOME/tern, ~/.local/share/tern)");
}

Result<hub::Store> StoreFlags::open() const {
  if (!path.empty()) return hub::Store(path);
  if (const std::string store = environment("TERN_STORE"); !store.empty()) return hub::Store(store);
  // The base directory specification: a relative path counts as none.
  if (const std::string data = environment("XDG_DATA_HOME"); data.starts_with("/"))
    return hub::Store(data + "/tern");
  if (const std::string home = environment("HOME"); !home.empty())
    return hub::Store(home + "/.local/share/tern");
  return make_error(ErrorCode::kUsage,
                    "no folder for models: HOME is not set; name one with --store DIR or TERN_STORE");
}

void HubFlags::add_to(CLI::App& command) {
  command.add_option("--hub", hub, "address of the hub (else TERN_HUB, HF_ENDPOINT, https://huggingface.co)");
  command.add_option("--token-file", token_file,
                     "file with the access token (else the environment's HF_TOKEN)");
  command.add_option("--connections", connections, "downloads at the same time, over all files")
      ->capture_default_str();
  command.add_option("--part-size", part_bytes, "bytes of one request")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  command.add_option("--retries", attempts, "attempts in a row that bring nothing, before giving up")
      ->capture_default_str();
  command.add_option("--retry-delay", retry_seconds, "seconds before the first of them, then doubled")
      ->capture_default_str();
  command.add_option("--stall", stall_seconds, "seconds without a byte until a connection counts as dead")
      ->capture_default_str();
}

Result<hub::PullOptions> HubFlags::resolve() const {
  hub::PullOptions options;
  std::string address = hub;
  for (const char* name : {"TERN_HUB", "HF_ENDPOINT"}) {
    if (address.empty()) address = environment(name);
  }
  TERN_TRY_ASSIGN(options.hub.hub, hub::normalize_hub_address(address.empty() ? kDefaultHub : address));
  std::string token = environment("HF_TOKEN");
  if (!token_file.empty()) {
    TERN_TRY_ASSIGN(token, read_text(token_file));
  }
  if (!token.empty() || !token_file.empty()) {
    TERN_TRY_ASSIGN(options.hub.token, hub::parse_token(token));
  }
  const bool is_good = connections >= 1 && connections <= 32 && part_bytes >= 1 && attempts >= 1 &&
                       attempts <= 1000 && retry_seconds >= 0 && retry_seconds <= 3600 &&
                       stall_seconds >= 1 && stall_seconds <= 3600;
  if (!is_good) {
    return make_error(ErrorCode::kUsage,
                      "--connections {} --part-size {} --retries {} --retry-delay {} --stall {}: expected 1 "
                      "to 32, at least "
                      "1, 1 to 1000, 0 to 3600 and 1 to 3600",
                      connections, part_bytes, attempts, retry_seconds, stall_seconds);
  }
  options.connections = connections;
  options.part_bytes = static_cast<uint64_t>(part_bytes);
  options.hub.retry.attempts = attempts;
  options.hub.retry.base_seconds = retry_seconds;
  options.hub.stall_seconds = stall_seconds;
  return options;
}

Result<hub::PullReport> pull_with_progress(const hub::Store& store, const std::string& name,
                                           hub::PullOptions options) {
  const InterruptGuard interrupt;
  TransferProgress progress(one_line(name, 60));
  options.hub.cancel = &interrupt.cancelled();
  options.on_progress = [&](const hub::PullProgress& now) { progress.update(now); };
  options.on_note = [&](const std::string& line) {
    progress.erase();
    print_note("note: " + one_line(line, 1000));
  };
  return hub::pull(store, name, options);
}

Result<std::string> runnable_path(const hub::Store& store, const hub::Manifest& manifest) {
  TERN_TRY_ASSIGN(std::string path, store.model_path(manifest));
  if (!manifest.entry.empty()) return path;
  return make_error(ErrorCode::kUnsupported,
                    "'{}' is a Hugging Face directory: tern convert {} {}.gguf makes a model of it",
                    manifest.name, path, manifest.name.substr(manifest.name.rfind('/') + 1));
}

bool ask_yes(const std::string& question) {
  std::fprintf(stderr, "%s [Y/n] ", question.c_str());
  std::fflush(stderr);
  char answer[64] = {};
  if (std::fgets(answer, sizeof answer, stdin) == nullptr) {
    std::fputc('\n', stderr);
    return false;
  }
  return answer[0] == 'y' || answer[0] == 'Y' || answer[0] == '\n';
}

Status find_model(std::string* model) {
  struct stat info{};
  if (model->empty() || ::stat(model->c_str(), &info) == 0 || is_path(*model)) return {};
  if (!hub::is_model_name(*model)) return not_a_model(*model);
  const auto canonical = hub::canonical_name(*model);
  const std::string name = canonical.ok() ? *canonical : *model;
  TERN_TRY_ASSIGN(const hub::Store store, StoreFlags().open());
  TERN_TRY_ASSIGN(const std::optional<hub::Manifest> manifest, store.find(name));
  if (manifest) {
    TERN_TRY_ASSIGN(*model, runnable_path(store, *manifest));
    return {};
  }
  if (!canonical.ok()) return not_a_model(*model);
  if (!stdin_is_terminal() || !stderr_is_terminal()) {
    return make_error(ErrorCode::kNotFound, "no file and no pulled model '{}': tern pull {} downloads it{}",
                      name, name, known_facts(name));
  }
  TERN_TRY_ASSIGN(hub::PullOptions options, HubFlags().resolve());
  if (!ask_yes(fmt::format("{} is not on this machine. Download it from {}{}?", name, options.hub.hub,
                           known_facts(name)))) {
    return make_error(ErrorCode::kNotFound, "no model '{}'", name);
  }
  TERN_TRY_ASSIGN(const hub::PullReport report, pull_with_progress(store, name, std::move(options)));
  TERN_TRY_ASSIGN(*model, runnable_path(store, report.manifest));
  return {};
}

}  // namespace tern::cli
