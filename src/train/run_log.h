// SPDX-License-Identifier: MIT
// The records of a run beside its checkpoints: loss.csv (one line a step), eval.csv (one line a source and
// evaluation), loss.svg. Decides their columns; on resume drops lines of steps that are done again. Called by
// the trainer.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"

namespace tern::train {

struct StepReport {
  int64_t step = 0, steps = 0;  // steps done, of how many
  double loss = 0, gradient_norm = 0, lr = 0;
  int64_t positions = 0;  // of the step
  double seconds = 0;     // of the step
};

struct EvalReport {
  int64_t step = 0;
  std::string source;  // "all" or the path of the configuration
  double loss = 0;
  int64_t positions = 0;
};

class RunLog {
 public:
  /// Opens the files in `folder`, keeping lines up to `step`. Errors: kIo with the path.
  static Result<std::unique_ptr<RunLog>> open(const std::string& folder, int64_t step);
  ~RunLog();

  /// Errors: kIo with the path (disk full).
  Status add(const StepReport& report);
  Status add(const EvalReport& report);
  /// Writes loss.svg. Errors: kIo.
  Status plot() const;

 private:
  RunLog() = default;
  Status write(std::FILE* file, const std::string& name, const std::string& line);
  std::string folder_;
  std::FILE *steps_ = nullptr, *evals_ = nullptr;
  std::vector<std::pair<double, double>> losses_, heldout_;
};

}  // namespace tern::train
