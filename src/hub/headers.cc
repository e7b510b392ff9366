// SPDX-License-Identifier: MIT
#include "hub/headers.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace tern::hub {
namespace {

constexpr size_t kMaxFields = 200, kMaxValue = 16384;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// "HTTP/1.1 206 Partial Content" -> 206
std::optional<int> parse_status(std::string_view line) {
  if (!line.starts_with("HTTP/")) return std::nullopt;
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.size() < space + 4) return 0;
  const auto number = parse_unsigned(line.substr(space + 1, 3));
  return number && *number >= 100 ? static_cast<int>(*number) : 0;
}

}  // namespace

std::optional<uint64_t> parse_unsigned(std::string_view text) {
  uint64_t value = 0;
  if (text.empty() || text.size() > 19) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void Headers::add_line(std::string_view line) {
  if (const auto status = parse_status(line)) {
    status_ = *status;
    fields_.clear();
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || fields_.size() >= kMaxFields) return;
  const std::string_view value = trim(line.substr(colon + 1));
  if (value.size() > kMaxValue) return;
  fields_.emplace(lower(line.substr(0, colon)), value);
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found == fields_.end()) return std::nullopt;
  return found->second;
}

std::optional<uint64_t> Headers::content_length() const {
  const auto value = find("content-length");
  return value ? parse_unsigned(*value) : std::nullopt;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  if (!lower(value.substr(0, 6)).starts_with("bytes ")) return std::nullopt;
  value = trim(value.substr(6));
  const size_t dash = value.find('-'), slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return std::nullopt;
  const auto first = parse_unsigned(trim(value.substr(0, dash)));
  const auto last = parse_unsigned(trim(value.substr(dash + 1, slash - dash - 1)));
  const std::string_view total = trim(value.substr(slash + 1));
  ContentRange range;
  if (!first || !last || *first > *last) return std::nullopt;
  range.first = *first;
  range.last = *last;
  if (total != "*") {
    range.total = parse_unsigned(total);
    if (!range.total || *range.total <= range.last) return std::nullopt;
  }
  return range;
}

std::optional<EntityTag> parse_entity_tag(std::string_view value) {
  EntityTag tag;
  value = trim(value);
  if (value.starts_with("W/") || value.starts_with("w/")) {
    tag.is_weak = true;
    value.remove_prefix(2);
  }
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  // It goes back to the server inside quotes, in a header line of ours.
  const bool is_good = !value.empty() && value.size() <= 256 &&
                       std::ranges::all_of(value, [](char c) { return c > 0x20 && c < 0x7f && c != '"'; });
  if (!is_good) return std::nullopt;
  tag.value = value;
  return tag;
}

std::optional<double> parse_retry_after(std::string_view value, int64_t now) {
  value = trim(value);
  if (value.size() > 64) return std::nullopt;
  if (const auto seconds = parse_unsigned(value)) return static_cast<double>(*seconds);
  const bool has_letter =
      std::ranges::any_of(value, [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; });
  if (!has_letter) return std::nullopt;
  const time_t date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return static_cast<double>(std::max<int64_t>(0, static_cast<int64_t>(date) - now));
}

std::optional<std::string> parse_next_link(std::string_view value) {
  while (!value.empty()) {
    const size_t open = value.find('<');
    const size_t close = open == std::string_view::npos ? open : value.find('>', open);
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view address = value.substr(open + 1, close - open - 1);
    value.remove_prefix(close + 1);
    // The parameters of this link end where the next address begins.
    const std::string parameters = lower(value.substr(0, value.find('<')));
    if (parameters.find("rel=\"next\"") != std::string::npos ||
        parameters.find("rel=next") != std::string::npos) {
      return std::string(address);
    }
  }
  return std::nullopt;
}

}  // namespace tern::hub
