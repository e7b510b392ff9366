// SPDX-License-Identifier: MIT
// Turns the data sources of a configuration into a tokenizer and one binary token file. Decides what a
// document is, which documents are held out, and where the loss counts. Called by `tern train`; Dataset reads
// what it wrote.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "text/tokenizer.h"
#include "train/config.h"

namespace tern::train {

/// What prepare() made, or found made.
struct Prepared {
  std::string tokenizer_path;                  // <output>/tokenizer.json
  std::shared_ptr<const Tokenizer> tokenizer;  // of that file
  TokenizerSpec spec;                          // of that file: tokens (bytes), types, merges for a GGUF
  std::string pre;                             // tokenizer.ggml.pre for a GGUF: config.tokenizer.pre
  std::string token_path;                      // <output>/tokens-<hash>.bin
  int32_t vocab_size = 0;                      // rows of the embedding: tokens of the tokenizer
  int32_t end_of_text = -1;                    // id of <|endoftext|>, ends every document
  int32_t im_start = -1, im_end = -1;  // ids of the chat marks; -1 where an existing tokenizer has none
  std::string chat_template;           // Jinja source that chats were rendered with (ChatML)
  bool reused = false;                 // the token file was there already
};

/// Told about the work: what is being done ("reading", "training tokenizer", "encoding"), how much of it.
/// Returning false cancels (kCancelled).
using PrepareProgress = std::function<bool(std::string_view stage, int64_t done, int64_t total)>;

/// Reads the sources, trains or copies the tokenizer, encodes every document, and writes
/// <output>/tokenizer.json and <output>/tokens-<hash>.bin, each atomically. The hash is of the contents of
/// the sources and of what the configuration says about them; a file that has it is reused, so that a second
/// call costs one reading of the sources. A document is held out where the hash of its text is below the
/// held-out share: other documents do not matter. Errors: kNotFound a source; kUsage an empty one, no
/// documents, a chat source without the chat marks in the tokenizer; kCorrupt text that is not UTF-8 (file,
/// byte offset), a malformed line (file, line); kIo. Memory: the text of the sources and their tokens.
Result<Prepared> prepare(const TrainConfig& config, const PrepareProgress& progress = {});

/// Where `tern distill` keeps a teacher's logits: <output>/teacher.bin.
std::string teacher_file_path(const TrainConfig& config);
/// The teacher's vocabulary: teacher-tokenizer.json beside its logits.
std::string teacher_tokenizer_path(const std::string& teacher_file);

}  // namespace tern::train
