// SPDX-License-Identifier: MIT
// Checkpoints of a training run: one safetensors file each, master weights and both moments in f32, and in
// its metadata what else a run needs to go on (step, data row, configuration, fingerprint of the data).
// Decides names, how many are kept, and what a resumed run must agree with. A file appears complete or not
// at all. Called by the trainer and the exporter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "train/model.h"

namespace tern::train {

/// What a checkpoint holds beside tensors.
struct RunState {
  int64_t step = 0;          // steps done
  int64_t next_row = 0;      // of the data set
  uint64_t fingerprint = 0;  // Dataset::fingerprint
  std::string config;        // the JSON text of the run
  std::string config_base;   // folder that its paths are relative to
  int64_t vocab_size = 0;
};

/// Writes <folder>/checkpoint-<step>.safetensors and removes all but the two newest. Errors: kIo with the
/// path; earlier checkpoints are then untouched.
Status save_checkpoint(const std::string& folder, const RunState& state, const TrainModel& model,
                       const Tensor& m, const Tensor& v);

/// The newest checkpoint of a folder, or nothing. Errors: kIo.
Result<std::optional<std::string>> find_checkpoint(const std::string& folder);

/// The state alone. Errors: kNotFound, kIo, kCorrupt with the path.
Result<RunState> read_checkpoint_state(const std::string& path);

/// Fills the model and, where they are defined, the moments. Errors: those above; kCorrupt a tensor that is
/// missing or has another shape.
Result<RunState> load_checkpoint(const std::string& path, TrainModel& model, Tensor m, Tensor v);

}  // namespace tern::train
