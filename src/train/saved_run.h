// SPDX-License-Identifier: MIT
// A checkpoint opened for use instead of training: model, configuration, tokenizer. Called by export and
// distillation.
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "text/tokenizer.h"
#include "train/checkpoint.h"
#include "train/export.h"

namespace tern::train {

struct SavedRun {
  RunState state;
  TrainConfig config;  // vocab_size set
  TrainModel model;
  std::string tokenizer_json;
  TokenizerSpec spec;
  std::shared_ptr<const Tokenizer> tokenizer;
  int32_t end_of_text = -1, im_start = -1, im_end = -1;
};

/// Opens a checkpoint file, or the newest one of a run's folder; the tokenizer is the tokenizer.json beside
/// it. Errors: kNotFound, kCorrupt, kIo with the path.
Result<SavedRun> open_saved_run(const std::string& path);

/// What export writes: the trits and scales of the trainer's own quantiser.
ExportModel export_model_of(const SavedRun& run);

}  // namespace tern::train
