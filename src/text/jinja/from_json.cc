// SPDX-License-Identifier: MIT
// JSON to template values; called by ChatTemplate for messages, tools and other variables.
#include "text/jinja/from_json.h"

#include <nlohmann/json.hpp>

#include "text/jinja/unicode.h"

namespace tern::jinja {

Result<Value> from_json(Runtime& runtime, const nlohmann::ordered_json& json, const std::string& path,
                        int depth) {
  using Type = nlohmann::ordered_json::value_t;
  if (depth > runtime.limits().depth) return runtime.depth_error();
  TERN_TRY(runtime.step());
  const auto text = [&](const std::string& bytes) -> Result<Value> {
    TERN_TRY(runtime.step_text(bytes.size()));
    if (!is_valid_utf8(bytes)) return runtime.fail("the text at {} is not UTF-8", path);
    return runtime.view(bytes);
  };
  switch (json.type()) {
    case Type::boolean:
      return Value::boolean(json.get<bool>());
    case Type::number_integer:
      return Value::integer(json.get<int64_t>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > uint64_t{INT64_MAX})
        return runtime.fail("the integer at {} needs more than 64 bits", path);
      return Value::integer(static_cast<int64_t>(json.get<uint64_t>()));
    case Type::number_float:
      return Value::number(json.get<double>());
    case Type::string:
      return text(json.get_ref<const std::string&>());
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (size_t i = 0; i < json.size(); ++i) {
        TERN_TRY_ASSIGN(const Value item,
                        from_json(runtime, json[i], fmt::format("{}[{}]", path, i), depth + 1));
        items.push_back(item);
      }
      return runtime.list(std::move(items));
    }
    case Type::object: {
      auto* dict = runtime.heap().make<Dict>();
      for (const auto& [key, member] : json.get_ref<const nlohmann::ordered_json::object_t&>()) {
        TERN_TRY_ASSIGN(const Value name, text(key));
        TERN_TRY_ASSIGN(const Value value,
                        from_json(runtime, member, fmt::format("{}.{}", path, key.substr(0, 40)), depth + 1));
        runtime.heap().charge(sizeof(Value) * 4);
        dict->items.emplace_back(name, value);  // keys of a parsed object are unique
      }
      return Value::of(Kind::kDict, dict);
    }
    default:
      return Value::none();  // null; binary and discarded values do not come from JSON text
  }
}

}  // namespace tern::jinja
