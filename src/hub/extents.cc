// SPDX-License-Identifier: MIT
#include "hub/extents.h"

#include <algorithm>

namespace tern::hub {

void ExtentSet::add(Extent extent) {
  if (extent.begin >= extent.end) return;
  auto at = ends_.upper_bound(extent.begin);
  if (at != ends_.begin() && std::prev(at)->second >= extent.begin) --at;
  while (at != ends_.end() && at->first <= extent.end) {
    extent.begin = std::min(extent.begin, at->first);
    extent.end = std::max(extent.end, at->second);
    count_ -= at->second - at->first;
    at = ends_.erase(at);
  }
  ends_.emplace(extent.begin, extent.end);
  count_ += extent.size();
}

std::vector<Extent> ExtentSet::missing(uint64_t size) const {
  std::vector<Extent> gaps;
  uint64_t at = 0;
  for (const auto& [begin, end] : ends_) {
    if (at < begin) gaps.push_back({at, begin});
    at = end;
  }
  if (at < size) gaps.push_back({at, size});
  return gaps;
}

std::vector<Extent> ExtentSet::extents() const {
  std::vector<Extent> all;
  for (const auto& [begin, end] : ends_) all.push_back({begin, end});
  return all;
}

std::vector<Extent> plan_parts(const std::vector<Extent>& missing, uint64_t part_bytes) {
  std::vector<Extent> parts;
  for (const Extent& gap : missing) {
    for (uint64_t at = gap.begin; at < gap.end;) {
      const uint64_t end = gap.end - at <= part_bytes ? gap.end : at + part_bytes;
      parts.push_back({at, end});
      at = end;
    }
  }
  return parts;
}

}  // namespace tern::hub
