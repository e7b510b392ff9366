// SPDX-License-Identifier: MIT
// Writes a byte-level BPE vocabulary as tokenizer.json of Hugging Face's tokenizers library. Called by the
// BPE trainer, and by `tern distill` for the teacher's vocabulary.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "text/tokenizer_spec.h"

namespace tern::train {

/// The file's text; ends with a line break. Control tokens become special added tokens, user-defined ones
/// added tokens. Errors: kUnsupported for what is not byte-level BPE with listed merges, and for a
/// pre-tokenizer other than gpt-2 and llama-bpe; kCorrupt where two tokens have the same text.
Result<std::string> write_tokenizer_json(const TokenizerSpec& spec, std::string_view pre);

}  // namespace tern::train
