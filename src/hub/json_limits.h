// SPDX-License-Identifier: MIT
// Parsing of JSON from strangers: without exceptions, and not deeper than a hub's answers or our manifests
// ever are. Private to this folder.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tern::hub {

using Json = nlohmann::ordered_json;

/// The document, or nothing where it is not JSON or nests deeper than 64.
inline std::optional<Json> parse_json(std::string_view text) {
  constexpr int kMaxDepth = 64;
  bool is_too_deep = false;
  // Returning false drops the value, so that what is too deep takes no memory.
  const auto check = [&](int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  Json document = Json::parse(text.begin(), text.end(), check, false);
  if (document.is_discarded() || is_too_deep) return std::nullopt;
  return document;
}

/// A string member, or nothing.
inline std::optional<std::string> string_member(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

/// A member that is an integer of 0 to 2^63 - 1, or nothing.
inline std::optional<uint64_t> unsigned_member(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto value = found->get<uint64_t>();
  if (value > uint64_t{INT64_MAX}) return std::nullopt;
  return value;
}

}  // namespace tern::hub
