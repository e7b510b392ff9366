// SPDX-License-Identifier: MIT
// Template source to tokens, with the white-space rules chat templates are written for: trim_blocks,
// lstrip_blocks, the signs '-' and '+', raw blocks, comments, one trailing newline dropped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::jinja {

enum class TokenKind : uint8_t {
  kText,        // text: outside of tags
  kPrintBegin,  // {{
  kPrintEnd,    // }}
  kBlockBegin,  // {%
  kBlockEnd,    // %}
  kName,        // text
  kString,      // text, escapes resolved
  kInteger,     // integer
  kFloat,       // number
  kOperator,    // text: one of + - / // * % ** ~ [ ] ( ) { } == != > >= < <= = . : | , ;
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double number = 0;
};

/// Largest template source: ten times the largest published ones. Bounds the memory of tokens and tree (some
/// 40 MB).
inline constexpr size_t kMaxSourceBytes = size_t{256} << 10;

/// The tokens of `source` (any bytes), the last one kEnd. Errors: not UTF-8, too large, malformed tags or
/// literals, each with its line.
Result<std::vector<Token>> tokenize(std::string_view source);

/// `message` as it is where it is one line of plain text, else escaped: names and texts of the template stand
/// in messages.
std::string on_one_line(std::string_view message);

/// An error of the template text: "chat template line N: message".
Error syntax_error(int line, std::string_view message);

}  // namespace tern::jinja
