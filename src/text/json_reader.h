// SPDX-License-Identifier: MIT
// Typed look-ups in a parsed JSON document with one-line errors. Private to the readers of tokenizer files.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::json {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;
using Array = simdjson::dom::array;

/// Parses a whole document; the elements live as long as the parser. Errors: kCorrupt with simdjson's reason.
inline Result<Element> parse(simdjson::dom::parser& parser, std::string_view text, const char* what) {
  Element root;
  if (const auto error = parser.parse(text.data(), text.size(), true).get(root); error) {
    return make_error(ErrorCode::kCorrupt, "{}: not JSON: {}", what, simdjson::error_message(error));
  }
  return root;
}

/// A member that is absent or null gives nullopt.
inline std::optional<Element> member(const Object& object, std::string_view key) {
  Element element;
  if (object.at_key(key).get(element) || element.is_null()) return std::nullopt;
  return element;
}

inline Error wrong_type(std::string_view path, const char* expected) {
  return make_error(ErrorCode::kCorrupt, "{}: expected {}", path, expected);
}

template <class T>
Result<T> as(const Element& element, std::string_view path, const char* expected) {
  T value;
  if (element.get(value)) return wrong_type(path, expected);
  return value;
}
inline Result<Object> as_object(const Element& e, std::string_view path) {
  return as<Object>(e, path, "an object");
}
inline Result<Array> as_array(const Element& e, std::string_view path) {
  return as<Array>(e, path, "an array");
}
inline Result<std::string_view> as_string(const Element& e, std::string_view path) {
  return as<std::string_view>(e, path, "a string");
}
/// An integer of 0 to 2^31 - 1.
inline Result<int32_t> as_id(const Element& e, std::string_view path) {
  int64_t value = -1;
  if (e.get(value) || value < 0 || value > INT32_MAX) return wrong_type(path, "an id of 0 to 2147483647");
  return static_cast<int32_t>(value);
}

inline Result<bool> get_bool(const Object& object, std::string_view key, bool absent, std::string_view path) {
  const auto element = member(object, key);
  if (!element) return absent;
  return as<bool>(*element, fmt::format("{}.{}", path, key), "true or false");
}
/// Absent or null gives "".
inline Result<std::string_view> get_string(const Object& object, std::string_view key,
                                           std::string_view path) {
  const auto element = member(object, key);
  if (!element) return std::string_view();
  return as_string(*element, fmt::format("{}.{}", path, key));
}
inline Result<std::string_view> type_of(const Object& object, std::string_view path) {
  TERN_TRY_ASSIGN(const auto type, get_string(object, "type", path));
  if (type.empty()) return make_error(ErrorCode::kCorrupt, "{}: no \"type\"", path);
  return type;
}

}  // namespace tern::json
