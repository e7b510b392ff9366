// SPDX-License-Identifier: MIT
// Foreign text (names from files, paths, flags) inside our one-line messages: what may stand there as it is,
// and what has to be escaped. Every reader of strangers' files uses it, so that a hostile name cannot forge a
// second line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tern {

/// `text` on one line: well-formed UTF-8 without control characters stays, every other byte becomes \xNN, a
/// backslash becomes \\. Cut after at most `max_bytes` bytes of output, with "..." behind where something was
/// left out.
std::string printable(std::string_view text, size_t max_bytes = 64);

/// True for well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// True for well-formed UTF-8 without control characters (C0, DEL, C1) and line separators (U+2028, U+2029):
/// the rule for names of keys and tensors.
bool is_plain_text(std::string_view text);

}  // namespace tern
