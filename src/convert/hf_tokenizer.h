// SPDX-License-Identifier: MIT
// The text side of a Hugging Face directory as GGUF metadata: tokenizer.json, tokenizer.model (SentencePiece
// or tiktoken), tokenizer_config.json, generation_config.json, chat templates. The files themselves are
// carried along, so that a conversion back writes the same bytes.
#pragma once

#include <string>

#include "convert/checkpoint.h"
#include "convert/hf_config.h"

namespace tern {

/// Adds tokenizer.ggml.*, tokenizer.chat_template and the original files. What is written is opened again and
/// must give the same ids as the original for a set of texts. Errors: kUnsupported for a tokenizer that GGUF
/// cannot express (name the flag that helps), kCorrupt for a broken one.
Status add_hf_text(const std::string& folder, const HfConfig& config, const ImportOptions& options,
                   Checkpoint& checkpoint);

/// Original files: their names and the keys that carry them.
struct CarriedFile {
  const char *name, *key;
};
inline constexpr CarriedFile kCarriedFiles[] = {{"config.json", "tern.hf.config"},
                                                {"generation_config.json", "tern.hf.generation_config"},
                                                {"tokenizer.json", "tokenizer.huggingface.json"},
                                                {"tokenizer_config.json", "tern.hf.tokenizer_config"},
                                                {"special_tokens_map.json", "tern.hf.special_tokens_map"},
                                                {"added_tokens.json", "tern.hf.added_tokens"},
                                                {"vocab.json", "tern.hf.vocab"},
                                                {"merges.txt", "tern.hf.merges"},
                                                {"chat_template.jinja", "tern.hf.chat_template"},
                                                {"tokenizer.model", "tern.hf.tokenizer_model"}};

// gguf_tokenizer_keys.cc

/// tokenizer.ggml.* for a spec, without the pre-tokenizer's name. Errors: kUnsupported for unigram models.
Result<MetaList> tokenizer_keys(const TokenizerSpec& spec);

/// The tokenizer.ggml.pre name whose recipe cuts text as the spec does, or "" where there is none.
std::string pre_name_of(const TokenizerSpec& spec);

}  // namespace tern
