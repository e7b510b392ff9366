// SPDX-License-Identifier: MIT
// The parts of tokenizer.json that are lists of steps. Private to tokenizer_json.cc.
#pragma once

#include "text/json_reader.h"
#include "text/tokenizer_spec.h"

namespace tern::json {

Status read_normalizer(const Element& element, TokenizerSpec& spec);

/// Sets `byte_level` where the text is to be seen as bytes.
Status read_pre_tokenizer(const Element& element, TokenizerSpec& spec, bool& byte_level);

Status read_decoder(const Element& element, TokenizerSpec& spec, bool& byte_level);

Status read_post_processor(const Element& element, TokenizerSpec& spec);

}  // namespace tern::json
