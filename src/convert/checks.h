// SPDX-License-Identifier: MIT
// Known traps that the numbers or the text side of a model give away (docs/traps.md): what is refused, and
// what is only told. Used by convert and verify.
#pragma once

#include <string>
#include <vector>

#include "convert/checkpoint.h"
#include "convert/transcode.h"

namespace tern {

/// Checks vocabulary, special ids and chat template of a checkpoint. Returns what is odd but harmless.
/// Errors: kUnsupported with the flag that decides, for what would make a model silently worse.
Result<std::vector<std::string>> check_text(Checkpoint& checkpoint, const ImportOptions& options);

/// Lines about weights that do not look like trained ternary weights: no zeros or too many, one sign, absurd
/// scales.
std::vector<std::string> check_weights(const std::vector<TensorFacts>& tensors);

}  // namespace tern
