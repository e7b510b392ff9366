// SPDX-License-Identifier: MIT
// Trains a byte-level BPE vocabulary and writes it as tokenizer.json. Decides which merges a text deserves
// and their order where counts tie: the same text gives the same file on every machine. Called by prepare().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace tern::train {

/// A trained vocabulary: ids 0 .. special-1 are the special tokens, the next 256 the bytes 0 to 255, then
/// what the merges make.
struct BpeVocabulary {
  std::vector<std::string> tokens;  // [vocab] bytes; no two are equal, special ones aside
  int32_t special = 0;              // how many of them are special
  std::vector<std::pair<int32_t, int32_t>>
      merges;       // ids of the parts, best first; two may make the same token
  std::string pre;  // name of the pre-tokenizer, as in GGUF
};

class BpeTrainer {
 public:
  /// `pre`: a pre-tokenizer that tokenizer_json() can name: "gpt-2" or "llama-bpe". Errors: kUsage otherwise.
  static Result<BpeTrainer> create(std::string_view pre);
  BpeTrainer(BpeTrainer&&) noexcept;
  ~BpeTrainer();

  /// Counts the pre-tokens of a text (any bytes), each `times` (at least 1). A pre-token longer than
  /// 256 bytes is not counted: it would teach a token nobody else has.
  void add(std::string_view text, int64_t times = 1);

  /// Merges the most frequent pair until the vocabulary has `vocab_size` tokens or no pair stands twice.
  /// Ties: the pair whose first part has the lower id, then the second. A pair is merged greedily from the
  /// left
  /// ("aaa" counts (a,a) twice, as in the field). Errors: kUsage, a size below 256 + special.size() or above
  /// 1,000,000. Time O(n log n) in the bytes of the distinct pre-tokens.
  Result<BpeVocabulary> train(int32_t vocab_size, std::vector<std::string> special) const;

 private:
  struct Impl;
  explicit BpeTrainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// tokenizer.json of Hugging Face's tokenizers library for a vocabulary; ends with a line break. Special
/// tokens must be UTF-8.
std::string tokenizer_json(const BpeVocabulary& vocabulary);

}  // namespace tern::train
