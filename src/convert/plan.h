// SPDX-License-Identifier: MIT
// Decides in which type each tensor is written and says so before a byte is: what `auto` means, what a type
// cannot hold, what --for an engine needs. Source: FORMATS.md A.3, A.4, B.4.
#pragma once

#include "convert/checkpoint.h"
#include "convert/transcode.h"

namespace tern {

struct TargetOptions {
  std::string type = "auto";  // of the projections
  std::string head = "auto";  // of token_embd and output
  std::string engine;         // "" or "llama.cpp"
  bool lossy = false;
};

struct FilePlan {
  MetaList keys;
  std::vector<TensorPlan> tensors;  // their sources stay in the checkpoint
  std::vector<std::string> notes;   // one line each: what the choice costs
};

/// The plan of a GGUF file. Reads scales where a source has more than one per matrix. Errors: kUsage for an
/// unknown type, kUnsupported for what a type cannot hold, naming tensor and ways out.
Result<FilePlan> plan_gguf(const Checkpoint& checkpoint, const TargetOptions& options);

/// Names that --type and --head take.
std::string known_ternary_types();
std::string known_head_types();

}  // namespace tern
