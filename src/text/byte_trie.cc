// SPDX-License-Identifier: MIT
// Builds the trie level by level from the sorted keys; each node is a range of keys with the same prefix.
#include "text/byte_trie.h"

#include <algorithm>

namespace tern {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> keys) {
  root_.fill(kNone);
  std::sort(keys.begin(), keys.end());
  struct Range {
    uint32_t node, begin, end;
  };
  std::vector<Range> level{{kNone, 0, static_cast<uint32_t>(keys.size())}}, next;
  for (size_t depth = 0; !level.empty(); ++depth, level.swap(next), next.clear()) {
    for (const Range& range : level) {
      uint32_t i = range.begin;
      if (range.node != kNone) {
        Node& node = nodes_[range.node];
        for (; i < range.end && keys[i].first.size() == depth; ++i) {
          if (node.value < 0) node.value = keys[i].second;
        }
        node.first_edge = static_cast<uint32_t>(nodes_.size());
      }
      while (i < range.end) {
        const uint8_t byte = static_cast<uint8_t>(keys[i].first[depth]);
        const uint32_t begin = i;
        while (i < range.end && static_cast<uint8_t>(keys[i].first[depth]) == byte) ++i;
        const uint32_t child = static_cast<uint32_t>(nodes_.size());
        nodes_.emplace_back();
        labels_.push_back(byte);
        if (range.node == kNone) {
          root_[byte] = child;
        } else {
          ++nodes_[range.node].edges;
        }
        next.push_back({child, begin, i});
      }
    }
  }
}

}  // namespace tern
