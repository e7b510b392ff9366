// SPDX-License-Identifier: MIT
// A strict scanner for the little JSON that file headers use: objects, arrays of unsigned integers, strings.
// The caller walks the structure it expects, so nothing nests deeper than the caller's code. Used by the
// safetensors reader. Source: RFC 8259; stricter: integers are unsigned and without leading zeros, lone
// surrogates are refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern {

class JsonScanner {
 public:
  /// `text` must be valid UTF-8; `base_offset` is where it starts in the file (for messages).
  JsonScanner(std::string_view text, uint64_t base_offset) : text_(text), base_offset_(base_offset) {}

  /// Walks `{ "key": value, ... }`: calls member(key) with the scanner in front of each value.
  template <class Member>
  Status object(Member member) {
    TERN_TRY(expect('{'));
    if (accept('}')) return {};
    do {
      TERN_TRY_ASSIGN(const std::string key, string());
      TERN_TRY(expect(':'));
      TERN_TRY(member(key));
    } while (accept(','));
    return expect('}');
  }

  /// Walks `[ value, ... ]`: calls element() with the scanner in front of each value.
  template <class Element>
  Status array(Element element) {
    TERN_TRY(expect('['));
    if (accept(']')) return {};
    do {
      TERN_TRY(element());
    } while (accept(','));
    return expect(']');
  }

  /// A string with its escapes resolved, UTF-8.
  Result<std::string> string();

  /// An integer from 0 to 2^64 - 1.
  Result<uint64_t> unsigned_integer();

  /// Refuses anything but whitespace up to the end.
  Status end();

  /// An Error at the scanner's position: "byte N: expected ..., found ...".
  Error error(std::string_view expected);

 private:
  void skip_whitespace();
  bool accept(char c);    // skips whitespace, then takes `c` if it is next
  Status expect(char c);  // the same, but refuses anything else
  Status escape(std::string& out);
  Result<uint32_t> hex4();

  std::string_view text_;
  uint64_t base_offset_;
  size_t position_ = 0;
};

}  // namespace tern
