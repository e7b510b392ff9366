// SPDX-License-Identifier: MIT
// tern verify as a function: re-proves a model file. What its certificate says of every tensor, what its
// source holds, and the logits of the self-check with every kernel set of this machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "convert/certificate.h"
#include "convert/checkpoint.h"
#include "core/thread_pool.h"

namespace tern {

struct VerifyOptions {
  std::string against;  // SRC; empty: none
  ImportOptions import;
  ThreadPool* pool = nullptr;
  std::function<void(std::string_view what, int64_t done, int64_t total)> progress;
};

/// One thing that was looked at.
struct Finding {
  enum class Kind : uint8_t { kOk, kBad, kUnchecked } kind;
  std::string what;    // "tensors", "logits avx2", "source"
  std::string detail;  // one line
};

struct VerifyReport {
  std::vector<Finding> findings;
  std::vector<TensorFacts> tensors;     // as they are in the file
  std::optional<SelfCheck> self_check;  // as computed here
  bool ok() const;
};

/// Looks at everything it can and says of the rest why not. Errors: a file that cannot be opened at all.
Result<VerifyReport> verify_model(const std::string& path, const VerifyOptions& options);

}  // namespace tern
