// SPDX-License-Identifier: MIT
// JSON to template values.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/jinja/runtime.h"

namespace tern::jinja {

/// The value of `json` for one rendering; strings are borrowed, so `json` must outlive it. Errors: an integer
/// beyond 64 bits, a string that is not UTF-8, nesting beyond the depth limit. `path` names the place in
/// messages.
Result<Value> from_json(Runtime& runtime, const nlohmann::ordered_json& json, const std::string& path,
                        int depth = 0);

}  // namespace tern::jinja
