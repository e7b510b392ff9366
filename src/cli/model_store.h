// SPDX-License-Identifier: MIT
// Models by name: the flags of the commands that work on the store, and what turns a MODEL argument into a
// path.
#pragma once

#include <CLI/App.hpp>
#include <atomic>
#include <string>

#include "hub/pull.h"

namespace tern::cli {

struct StoreFlags {
  std::string path;  // --store; else TERN_STORE, $XDG_DATA_HOME/tern, ~/.local/share/tern
  void add_to(CLI::App& command);
  /// Touches nothing. Errors: kUsage where no place is known.
  Result<hub::Store> open() const;
};

struct HubFlags {
  std::string hub;         // --hub; else TERN_HUB, HF_ENDPOINT, https://huggingface.co
  std::string token_file;  // --token-file; else HF_TOKEN
  int connections = 4;
  int64_t part_bytes = int64_t{64} << 20;
  int attempts = 8;
  double retry_seconds = 0.5, stall_seconds = 30;

  void add_to(CLI::App& command);
  /// Errors: kUsage.
  Result<hub::PullOptions> resolve() const;
};

/// Downloads with a progress line on a terminal; Ctrl-C stops it and keeps what is there.
Result<hub::PullReport> pull_with_progress(const hub::Store& store, const std::string& name,
                                           hub::PullOptions options);

/// Where a pulled model is run from. Errors: kCorrupt for a damaged store; kUnsupported for a directory of
/// safetensors, with the command that converts it.
Result<std::string> runnable_path(const hub::Store& store, const hub::Manifest& manifest);

/// `*model` as a user gave it: a path stays, the name of a pulled model becomes its path. A name that could
/// be pulled is asked about on a terminal, and is an Error elsewhere. Errors: kNotFound, and those of a pull.
Status find_model(std::string* model);

/// Asks on stderr; true for yes or an empty line. Only where stdin and stderr are a terminal.
bool ask_yes(const std::string& question);

}  // namespace tern::cli
