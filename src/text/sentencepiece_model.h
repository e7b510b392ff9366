// SPDX-License-Identifier: MIT
// SentencePiece .model files (a protobuf message): unigram and BPE, with their normalization rules.
#pragma once

#include <string_view>

#include "core/result.h"
#include "text/tokenizer_spec.h"

namespace tern {

/// Reads a ModelProto. Allocates at most a small multiple of the file. Errors: kCorrupt with the byte offset
/// for bytes that are no such message, kUnsupported for word and character models and for custom
/// denormalization.
Result<TokenizerSpec> parse_sentencepiece(std::string_view file);

}  // namespace tern
