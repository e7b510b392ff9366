// SPDX-License-Identifier: MIT
#include "text/utf8_sanitizer.h"

#include <cstdint>

#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

// Length of the longest beginning of some valid character at the start of `s`; `whole` tells whether it is
// one. 0: the first byte can start nothing.
size_t beginning(std::string_view s, bool& whole) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t b = byte(0);
  size_t need = 0;
  uint8_t low = 0x80, high = 0xBF;  // bounds of the second byte
  if (b < 0x80) need = 1;
  if (b >= 0xC2 && b <= 0xDF) need = 2;
  if (b >= 0xE0 && b <= 0xEF) need = 3;
  if (b >= 0xF0 && b <= 0xF4) need = 4;
  if (b == 0xE0) low = 0xA0;
  if (b == 0xED) high = 0x9F;
  if (b == 0xF0) low = 0x90;
  if (b == 0xF4) high = 0x8F;
  size_t n = need > 0 ? 1 : 0;
  while (n > 0 && n < need && n < s.size() && byte(n) >= low && byte(n) <= high) {
    low = 0x80;
    high = 0xBF;
    ++n;
  }
  whole = need > 0 && n == need;
  return n;
}

}  // namespace

void Utf8Sanitizer::push(std::string_view bytes, std::string& out) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_;
    joined.append(bytes);
    pending_.clear();
    bytes = joined;
  }
  while (!bytes.empty()) {
    bool whole = false;
    const size_t n = beginning(bytes, whole);
    if (whole) {
      out.append(bytes.substr(0, n));
    } else if (n == bytes.size()) {
      pending_ = bytes;  // more may come
      return;
    } else {
      out.append(kReplacement);
    }
    bytes.remove_prefix(n == 0 ? 1 : n);
  }
}

void Utf8Sanitizer::finish(std::string& out) {
  if (!pending_.empty()) out.append(kReplacement);
  pending_.clear();
}

std::string sanitize_utf8(std::string bytes) {
  if (is_valid_utf8(bytes)) return bytes;
  std::string out;
  Utf8Sanitizer sanitizer;
  sanitizer.push(bytes, out);
  sanitizer.finish(out);
  return out;
}

}  // namespace tern
