// SPDX-License-Identifier: MIT
// Asks a teacher for its next-token distributions over the rows of a data set and writes them to a teacher
// file. Decides how rows become steps of the engine: every segment is a sequence of its own, many in a step.
// Called by `tern distill`; needs no torch.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "core/result.h"
#include "runtime/runner.h"
#include "train/dataset.h"
#include "train/teacher_file.h"

namespace tern::train {

struct CollectOptions {
  int64_t rows = 0;      // of the data set, from row 0 on
  int32_t first = -1;    // token put before a segment that does not begin with it (BOS), -1: none
  uint64_t teacher = 0;  // hash of the model
  int32_t k = 16;
  std::function<void(int64_t done, int64_t total)> progress;  // rows, after each
  const std::atomic<bool>* cancel = nullptr;
};

/// Writes rows until the file has options.rows; rows that are there stay, so that an interrupted run
/// continues. The runner must hold at least context + 1 tokens and is used by nobody else. The same model,
/// data and k give the same bytes on every machine. Errors: kUsage where vocabularies differ or the runner is
/// too small; those of TeacherWriter and Runner; kCancelled (what was written is good).
Status collect_teacher(Runner& runner, Dataset& data, const std::string& path, const CollectOptions& options);

/// The k largest of softmax(logits), descending, ties to the lower id: ids and ln p as f16 bits.
void top_log_probs(std::span<const float> logits, std::span<uint32_t> ids, std::span<uint16_t> log_probs);

}  // namespace tern::train
