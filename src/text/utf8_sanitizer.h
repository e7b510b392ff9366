// SPDX-License-Identifier: MIT
// Makes valid UTF-8 of bytes that come in parts of any size: whole characters pass, what can never become a
// character turns into U+FFFD (one for each longest beginning of a character, as the Unicode Standard
// recommends), and the beginning of a character waits for its rest. Used by decode() and StreamDecoder, so
// both give the same text.
#pragma once

#include <string>
#include <string_view>

namespace tern {

class Utf8Sanitizer {
 public:
  /// Appends to `out` what `bytes` completes.
  void push(std::string_view bytes, std::string& out);
  /// Appends U+FFFD where a character was left incomplete, and starts anew.
  void finish(std::string& out);
  /// Bytes of a character that are waiting for the rest, at most 3.
  size_t pending() const { return pending_.size(); }

 private:
  std::string pending_;
};

/// `bytes` with everything invalid replaced.
std::string sanitize_utf8(std::string bytes);

}  // namespace tern
