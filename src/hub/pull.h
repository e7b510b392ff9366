// SPDX-License-Identifier: MIT
// tern pull: from a name to a model in the store. Called by the programs; blocks until done.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "hub/hub_client.h"
#include "hub/store.h"

namespace tern::hub {

struct PullProgress {
  uint64_t done = 0, total = 0;  // bytes of the files that were not there
  bool is_checking = false;      // all bytes are here, their hashes are computed
};

struct PullOptions {
  HubOptions hub;
  int connections = 4;                       // 1 to 32, over all files
  uint64_t part_bytes = uint64_t{64} << 20;  // of one request
  /// Called about ten times a second, on the caller's thread.
  std::function<void(const PullProgress&)> on_progress;
  /// A line for the user: what is waited for, what is repeated. On the caller's thread.
  std::function<void(const std::string&)> on_note;
};

struct PullReport {
  Manifest manifest;
  std::string path;               // of the GGUF, or of the directory
  uint64_t downloaded_bytes = 0;  // 0: all of it was there
  double seconds = 0;
};

/// The name under which a model is kept: a catalogue entry's, or OWNER/REPO[@REVISION][:SELECTOR] without its
/// prefixes. Errors: kUsage.
Result<std::string> canonical_name(std::string_view text);

/// Resolves the name, downloads what is missing, checks it, and makes the model exist. What is downloaded
/// when it fails stays, and the next call goes on from there. Errors: kUsage, kNotFound, kIo (with what to
/// do), kCorrupt, kCancelled.
Result<PullReport> pull(const Store& store, std::string_view name, const PullOptions& options);

}  // namespace tern::hub
