// SPDX-License-Identifier: MIT
#include "hub/journal.h"

#include <fmt/format.h>

#include "hub/headers.h"

namespace tern::hub {
namespace {

constexpr std::string_view kMagic = "tern-partial 1 ";

// "have BEGIN END"
bool read_extent(std::string_view line, Journal& journal) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return false;
  const auto begin = parse_unsigned(line.substr(0, space));
  const auto end = parse_unsigned(line.substr(space + 1));
  if (!begin || !end || *begin >= *end || *end > journal.size) return false;
  journal.done.add({*begin, *end});
  return true;
}

}  // namespace

std::optional<Journal> parse_journal(std::string_view text, uint64_t size) {
  Journal journal;
  journal.size = size;
  bool is_first = true;
  while (true) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // a line that was not finished
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (is_first) {
      if (!line.starts_with(kMagic) || parse_unsigned(line.substr(kMagic.size())) != size)
        return std::nullopt;
      is_first = false;
    } else if (line.starts_with("tag ")) {
      const auto tag = parse_entity_tag(line.substr(4));
      if (!tag || (!journal.tag.empty() && journal.tag != tag->value)) return std::nullopt;
      journal.tag = tag->value;
    } else if (!line.starts_with("have ") || !read_extent(line.substr(5), journal)) {
      return std::nullopt;
    }
  }
  if (is_first) return std::nullopt;
  return journal;
}

std::string journal_line(const Extent& have) { return fmt::format("have {} {}\n", have.begin, have.end); }
std::string journal_tag_line(std::string_view tag) { return fmt::format("tag \"{}\"\n", tag); }

std::string journal_text(const Journal& journal) {
  std::string text = fmt::format("{}{}\n", kMagic, journal.size);
  if (!journal.tag.empty()) text += journal_tag_line(journal.tag);
  for (const Extent& extent : journal.done.extents()) text += journal_line(extent);
  return text;
}

}  // namespace tern::hub
