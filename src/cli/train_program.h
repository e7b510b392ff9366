// SPDX-License-Identifier: MIT
// tern-train, the program that links libtorch: what `tern train` and `tern distill` leave their work to.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace tern::cli {

/// Becomes the trainer with these arguments; returns only where that fails. Errors: kUnsupported where it was
/// not built, kIo.
Status run_trainer(const std::vector<std::string>& words);

}  // namespace tern::cli
