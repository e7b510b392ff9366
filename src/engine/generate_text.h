// SPDX-License-Identifier: MIT
// generate() with text on top: whole characters, stop strings that never leak, and why it ended.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/generate.h"
#include "text/stop_strings.h"
#include "text/tokenizer.h"

namespace tern {

struct TextParams {
  GenerateParams generate;                             // on_token is used by generate_text itself
  std::vector<std::string> stops;                      // stop strings; the answer ends before the first one
  bool ignore_end = false;                             // go on past end tokens
  bool render_special = false;                         // show control tokens
  std::function<bool(std::string_view text)> on_text;  // whole characters; false ends the answer
};

struct TextResult {
  std::string text;
  GenerateResult raw;  // finish kStop also for a stop string
};

/// Continues `sequence` with `prompt` (see generate()) and gives the text out as it comes.
/// Errors: those of generate(); kUsage for an impossible stop string.
Result<TextResult> generate_text(Runner& runner, Sequence& sequence,
                                 std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
                                 const TextParams& params);

}  // namespace tern
