// SPDX-License-Identifier: MIT
// tern convert as a function: opens SRC, settles every doubt or refuses, writes DST atomically, proves what
// it wrote.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "convert/certificate.h"
#include "convert/checkpoint.h"
#include "convert/plan.h"
#include "core/thread_pool.h"

namespace tern {

struct ConvertOptions {
  ImportOptions import;
  TargetOptions target;
  bool to_hf = false;  // DST is a Hugging Face directory
  bool force = false;  // DST may exist
  bool skip_self_check = false;
  ThreadPool* pool = nullptr;  // of the self-check; may be null
  /// What is being done ("converting", "self-check"), how much of it; may be empty.
  std::function<void(std::string_view what, int64_t done, int64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;  // becomes true: stop, keep what can be gone on with
};

struct ConvertReport {
  std::string source_kind, architecture;
  uint64_t source_bytes = 0, written_bytes = 0, resumed_bytes = 0;
  double seconds = 0;  // of converting, without the self-check
  double check_seconds = 0;
  std::vector<TensorFacts> tensors;  // of a GGUF target
  std::vector<std::string> notes;    // doubts, costs, what could not be checked: one line each
  std::optional<SelfCheck> self_check;
};

/// Converts. Errors: kUsage for flags and paths, kUnsupported and kCorrupt for the source, kIo for the disk,
/// kCancelled (the same command goes on where it stopped). DST is there only when everything succeeded.
Result<ConvertReport> convert_model(const std::string& source, const std::string& target,
                                    const ConvertOptions& options);

// One file each.
Status write_gguf_target(const Checkpoint& checkpoint, const std::string& target,
                         const ConvertOptions& options,
                         ConvertReport& report);  // gguf_target.cc
Status write_hf_target(const Checkpoint& checkpoint, const std::string& target, const ConvertOptions& options,
                       ConvertReport& report);  // hf_target.cc

/// Refuses when the disk of `path` has less than `bytes` free. A system that does not say passes.
Status check_free_space(const std::string& path, uint64_t bytes);

}  // namespace tern
