// SPDX-License-Identifier: MIT
// Texts to vectors, for models that were trained for it: the final norm's output of a text's last token (the
// EOS that is appended), brought to length 1. Called by tern embed; meant for a server too.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/runner.h"
#include "text/tokenizer.h"

namespace tern {

struct Embedding {
  std::vector<float> values;  // [hidden], of length 1
  int64_t tokens = 0;         // of the text, EOS included
};

struct EmbedParams {
  std::function<void(size_t done, size_t total)> on_progress;  // after each step; counts texts
  const std::atomic<bool>* cancel = nullptr;                   // looked at between steps
};

/// Whether the model's keys say that it makes embeddings the way tern computes them (last-token pooling).
/// Errors: kUnsupported with what the file says.
Status check_embeds(const Config& config);

/// One embedding per text, in order. Short texts share steps; the bits do not depend on which. Errors: those
/// of check_embeds; kUnsupported for a tokenizer without EOS; kUsage for a text that does not fit the
/// context, with its number; kNumeric; kCancelled. Threads: one caller at a time per runner.
Result<std::vector<Embedding>> embed(Runner& runner, const Tokenizer& tokenizer,
                                     std::span<const std::string> texts, const EmbedParams& params = {});

}  // namespace tern
