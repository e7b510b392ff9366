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
  GenerateParams generate;         // on_token is used by generate_text itself
  std::vector<std::string> stops;  // stop strings; the answer ends before the first one
  bool ignore_end = false;         // go on past end tokens
  bool render_special = false;     // show control tokens
  /// Called for each token of the answer with the text that it completes: whole characters, perhaps none; at
  /// the end once more with token -1 where text was still held back. False ends the answer.
  std::function<bool(int32_t token, std::string_view text)> on_piece;
};

struct TextResult {
  std::string text;
  GenerateResult raw;  // finish kStop also for a stop string
};

/// Continues `sequence` with `prompt` (see generate()) and gives the text out as it comes. `tokenizer` may be
/// null: then there is no text, and no token ends the answer but params.generate.stop_ids. Errors: those of
/// generate(); kUsage for an impossible stop string, or any without a tokenizer.
Result<TextResult> generate_text(Runner& runner, Sequence& sequence,
                                 std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
                                 const TextParams& params);

}  // namespace tern
