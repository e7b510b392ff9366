// SPDX-License-Identifier: MIT
// What is known of a partial download: the size it will have, the tag its bytes had at the server, and which
// of them are on disk. A text file beside the data, one line per fact, only ever appended to: a line that a
// kill cut off is simply not there. It may say too little, never decide anything alone: the hash of the whole
// file has the last word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hub/extents.h"

namespace tern::hub {

struct Journal {
  uint64_t size = 0;
  std::string tag;  // what the server called these bytes; empty: not known
  ExtentSet done;
};

/// Reads a journal: "tern-partial 1 SIZE", then "tag TEXT" and "have BEGIN END" lines. Absent for a text that
/// is none, for another size, and where it contradicts itself: the download then starts anew.
std::optional<Journal> parse_journal(std::string_view text, uint64_t size);

/// The whole journal as text, its extents merged.
std::string journal_text(const Journal& journal);
/// One line of it, to be appended.
std::string journal_line(const Extent& have);
std::string journal_tag_line(std::string_view tag);

}  // namespace tern::hub
