// SPDX-License-Identifier: MIT
// What convert and verify share: the flags that settle what model files leave open, and the progress line.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <string>

#include "cli/container_flags.h"
#include "convert/convert.h"
#include "hub/transfer_rate.h"

namespace tern::cli {

struct ImportFlags {
  ContainerFlags container;
  std::string weight_scale, activations, hidden_act, pre, chat_template;
  bool absmean = false, no_tokenizer = false;

  void add_to(CLI::App& command);
  /// Errors: kUsage with the flag.
  Result<ImportOptions> resolve() const;
};

/// A line on stderr with bar, speed and time left, on a terminal only; redrawn at most ten times a second.
class WorkProgress {
 public:
  WorkProgress();
  ~WorkProgress() { erase(); }
  WorkProgress(const WorkProgress&) = delete;
  WorkProgress& operator=(const WorkProgress&) = delete;
  void update(std::string_view what, int64_t done, int64_t total);
  void erase();

 private:
  bool enabled_, is_drawn_ = false;
  std::string what_;
  hub::TransferRate rate_;
  std::chrono::steady_clock::time_point begin_, last_{};
};

}  // namespace tern::cli
