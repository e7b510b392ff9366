// SPDX-License-Identifier: MIT
// tiktoken rank files (Llama 3's tokenizer.model, qwen.tiktoken): one "base64-of-bytes rank" per line. The
// file has no special tokens and no pre-tokenizer, so the caller says which family it is.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/tokenizer_spec.h"

namespace tern {

/// Reads a rank file. `pre` is a name of pre_recipe(). Special tokens can be added with add_special_tokens()
/// or apply_tokenizer_config(). Errors: kCorrupt with the line number; kUnsupported for an unknown `pre`.
Result<TokenizerSpec> parse_tiktoken(std::string_view file, std::string_view pre);

/// True where the file looks like a rank file (its first line is base64, a space, a number).
bool looks_like_tiktoken(std::string_view file);

/// Adds special tokens (text, id); ids between the vocabulary and them become unused tokens. `control` false:
/// tokens that plain text may become, such as <tool_call>. Errors: ids far beyond the vocabulary, or that
/// contradict it.
Status add_special_tokens(TokenizerSpec& spec, const std::vector<std::pair<std::string, int32_t>>& tokens,
                          bool control);

/// The 256 special tokens of Llama 3 at 128000, with bos, eos and eot set. Requires a vocabulary of 128000
/// ranks.
Status add_llama3_special_tokens(TokenizerSpec& spec);

}  // namespace tern
