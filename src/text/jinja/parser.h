// SPDX-License-Identifier: MIT
// Tokens to a tree. The grammar is jinja2's with the extensions Hugging Face turns on: break, continue,
// generation. What needs other files (include, import, extends, block) and autoescape are refused by name.
#pragma once

#include <memory>
#include <string_view>

#include "text/jinja/ast.h"

namespace tern::jinja {

/// Bounds of nesting: brackets and blocks within each other, and links of one chain (a + b + c..., a.b.c...).
inline constexpr int kMaxNesting = 60;
inline constexpr int kMaxHeight = 400;

/// Parses `source` (any bytes). Errors: one line, "chat template line N: ...".
Result<std::shared_ptr<const Template>> parse_template(std::string_view source);

}  // namespace tern::jinja
