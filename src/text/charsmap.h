// SPDX-License-Identifier: MIT
// The precompiled character map of SentencePiece models: a Darts double-array trie from UTF-8 sequences to
// replacements. Every index is checked, for the blob comes from a file. Called by Normalizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern {

class Charsmap {
 public:
  /// Blob: u32 size of the trie in bytes, the trie as u32 units (all little-endian), then zero-terminated
  /// replacements.
  static Result<Charsmap> parse(std::string_view blob);

  struct Match {
    size_t length = 0;  // bytes of the input that are replaced; 0: no entry starts here
    std::string_view replacement;
  };
  /// The longest entry that `text` starts with.
  Match longest_prefix(std::string_view text) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace tern
