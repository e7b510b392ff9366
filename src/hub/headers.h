// SPDX-License-Identifier: MIT
// The head of an HTTP answer: status and fields, and the few fields whose values are read (RFC 9110).
// Everything here comes from a stranger: a value that does not follow its grammar counts as absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tern::hub {

class Headers {
 public:
  /// One line as it came, with or without its line end. A status line starts a new head (100 Continue,
  /// proxies). Fields beyond 200 and values beyond 16 KiB are left out.
  void add_line(std::string_view line);

  int status() const { return status_; }
  /// The value without blanks around it; the first one where a field came twice. `name` in lower case.
  std::optional<std::string_view> find(std::string_view name) const;
  std::optional<uint64_t> content_length() const;

 private:
  int status_ = 0;
  std::map<std::string, std::string, std::less<>> fields_;
};

/// `bytes FIRST-LAST/TOTAL`; LAST is inclusive, TOTAL absent where it is `*`.
struct ContentRange {
  uint64_t first = 0, last = 0;
  std::optional<uint64_t> total;
};
std::optional<ContentRange> parse_content_range(std::string_view value);

/// An entity tag: the text between its quotes (a hub also sends it without them). Weak ones say that two
/// bodies mean the same, not that they are the same bytes.
struct EntityTag {
  std::string value;
  bool is_weak = false;
  bool operator==(const EntityTag&) const = default;
};
std::optional<EntityTag> parse_entity_tag(std::string_view value);

/// Seconds to wait from `now` (Unix time): a number, or a date. Never negative.
std::optional<double> parse_retry_after(std::string_view value, int64_t now);

/// The address with rel="next" of a Link field.
std::optional<std::string> parse_next_link(std::string_view value);

/// A decimal number of at most 19 digits, nothing around it.
std::optional<uint64_t> parse_unsigned(std::string_view text);

}  // namespace tern::hub
