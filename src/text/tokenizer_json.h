// SPDX-License-Identifier: MIT
// tokenizer.json of Hugging Face's tokenizers library, and the tokenizer_config.json beside it.
#pragma once

#include <string_view>

#include "core/result.h"
#include "text/tokenizer_spec.h"

namespace tern {

/// Reads a tokenizer.json. `unicode`: the version of the library that made the ids in question (16 since
/// 0.21.2, 14 before). Errors: kCorrupt with the JSON path; kUnsupported naming the part that we cannot do
/// exactly.
Result<TokenizerSpec> parse_tokenizer_json(std::string_view json,
                                           UnicodeVersion unicode = UnicodeVersion::k16);

/// Adds what tokenizer_config.json knows: special tokens by name, added tokens, whether BOS and EOS are
/// added. Errors as above.
Status apply_tokenizer_config(TokenizerSpec& spec, std::string_view json);

}  // namespace tern
