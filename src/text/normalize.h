// SPDX-License-Identifier: MIT
// What happens to text before it is cut: Unicode normal forms, replaced spaces, SentencePiece's rules. Bytes
// that are not valid UTF-8 pass through unchanged. Called by Tokenizer for each stretch of text between
// special tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace tern {

/// Immutable; apply() may be called from several threads at once.
class Normalizer {
 public:
  /// Where a stretch of text stands.
  enum class Place : uint8_t { kTextStart, kAfterControl, kElsewhere };

  /// Errors: a regular expression or character map that cannot be used.
  static Result<Normalizer> create(std::vector<NormStep> steps);

  /// The normalized text; a view of `text` itself or of `buffer`. Linear in text.size().
  std::string_view apply(std::string_view text, Place place, std::string& buffer) const;

  bool empty() const { return steps_.empty(); }

 private:
  std::vector<NormStep> steps_;
  std::vector<std::optional<Regex>> regexes_;  // [steps_]
  std::vector<std::optional<Charsmap>> maps_;  // [steps_]
};

/// Property White_Space, which no Unicode version since 6.3 has changed.
bool is_white_space(uint32_t code_point);

}  // namespace tern
