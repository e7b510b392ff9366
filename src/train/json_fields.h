// SPDX-License-Identifier: MIT
// The members of a JSON object, read one by one into plain variables with their ranges checked. Decides how
// wrong members are reported: JSON path, what was expected, what stands there. Private to the configuration
// readers.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/printable.h"
#include "text/json_reader.h"

namespace tern::train {

/// "$.data.seed: expected a number, found \"x\""
inline Error bad_member(std::string_view path, std::string_view expected, const json::Element& found) {
  return make_error(ErrorCode::kUsage, "{}: expected {}, found {}", path, expected,
                    printable(simdjson::minify(found), 48));
}

/// Reads a JSON object. The first error stays and turns the later calls into nothing, so that a reader is a
/// plain list of members; finish() gives it, or refuses what nobody asked for.
class JsonFields {
 public:
  JsonFields(const json::Element& element, std::string path) : path_(std::move(path)) {
    if (element.get(object_)) fail(bad_member(path_, "an object", element));
  }

  /// The member, or nullopt where it is absent or null; nullopt after an error.
  std::optional<json::Element> element(std::string_view key) {
    if (!error_.ok()) return std::nullopt;
    asked_.push_back(key);
    return json::member(object_, key);
  }
  std::string path(std::string_view key) const { return fmt::format("{}.{}", path_, key); }
  void fail(Error error) {
    if (error_.ok()) error_ = std::move(error);
  }
  void fail(std::string_view key, std::string_view expected, const json::Element& found) {
    fail(bad_member(path(key), expected, found));
  }
  /// Refuses the object where `key` is absent.
  void require(std::string_view key) {
    if (error_.ok() && !json::member(object_, key)) {
      fail(make_error(ErrorCode::kUsage, "{}: no \"{}\", which has no default", path_, key));
    }
  }

  template <class Integer>
  void integer(std::string_view key, Integer& value, int64_t low, int64_t high) {
    const auto found = element(key);
    if (!found) return;
    int64_t number = 0;
    if (found->get(number) || number < low || number > high) {
      return fail(key, fmt::format("an integer from {} to {}", low, high), *found);
    }
    value = static_cast<Integer>(number);
  }
  /// A finite number from `low` to `high`, both included.
  void number(std::string_view key, double& value, double low, double high) {
    const auto found = element(key);
    if (!found) return;
    double number = 0;
    if (found->get(number) || !(number >= low && number <= high)) {
      return fail(key, fmt::format("a number from {} to {}", low, high), *found);
    }
    value = number;
  }
  void boolean(std::string_view key, bool& value) {
    const auto found = element(key);
    if (found && found->get(value)) fail(key, "true or false", *found);
  }
  void string(std::string_view key, std::string& value) {
    const auto found = element(key);
    std::string_view text;
    if (!found) return;
    if (found->get(text)) return fail(key, "a string", *found);
    value = text;
  }
  /// One of the names; `value` becomes what stands beside it.
  template <class Enum>
  void choice(std::string_view key, Enum& value,
              std::initializer_list<std::pair<std::string_view, Enum>> names) {
    const auto found = element(key);
    if (!found) return;
    std::string_view text;
    std::string expected = "one of";
    const bool is_string = !found->get(text);
    for (const auto& [name, meaning] : names) {
      if (is_string && name == text) {
        value = meaning;
        return;
      }
      expected += fmt::format(" \"{}\"", name);
    }
    fail(key, expected, *found);
  }

  /// The first error; else kUsage for a member that was not asked for, or stands there twice.
  Status finish() {
    if (!error_.ok()) return error_;
    std::vector<std::string_view> seen;
    for (const auto& [key, value] : object_) {
      const auto in = [&key = key](const std::vector<std::string_view>& list) {
        for (const auto item : list) {
          if (item == key) return true;
        }
        return false;
      };
      if (!in(asked_)) {
        return make_error(ErrorCode::kUsage, "{}: unknown key \"{}\"; known are {}", path_, printable(key),
                          fmt::join(asked_, ", "));
      }
      if (in(seen))
        return make_error(ErrorCode::kUsage, "{}: \"{}\" stands there twice", path_, printable(key));
      seen.push_back(key);
    }
    return {};
  }

 private:
  std::string path_;
  json::Object object_;
  std::vector<std::string_view> asked_;
  Status error_;
};

}  // namespace tern::train
