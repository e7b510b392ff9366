// SPDX-License-Identifier: MIT
// The tokenizer inside a GGUF file: metadata keys tokenizer.ggml.* -> TokenizerSpec. Knows the defaults that
// loaders of such files share (FORMATS.md A.7, A.8). Called when a model is opened.
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace tern {

struct GgufTokenizerOptions {
  std::string pre;  // a pre-tokenizer name that replaces tokenizer.ggml.pre; empty: as the file says
};

/// Errors: kNotFound without tokenizer.ggml.model or .tokens; kUnsupported for other models than gpt2
/// (byte-level BPE) and llama (SentencePiece BPE), and for an unknown pre-tokenizer name; kCorrupt for arrays
/// that do not fit together.
Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufFile& file,
                                               const GgufTokenizerOptions& options = {});

/// The same, made into a tokenizer. It does not borrow from `file`.
Result<std::shared_ptr<const Tokenizer>> tokenizer_from_gguf(const GgufFile& file,
                                                             const GgufTokenizerOptions& options = {});

}  // namespace tern
