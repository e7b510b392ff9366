// SPDX-License-Identifier: MIT
// An immutable trie over byte strings: which keys start here, and which is the longest. Used for special
// tokens in text and for the pieces of unigram models.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tern {

class ByteTrie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  ByteTrie() = default;
  /// Keys must be non-empty; of equal keys the one with the smallest value counts. Memory: at most 16 bytes
  /// per key byte.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> keys);

  bool empty() const { return nodes_.empty(); }
  /// The node below the root for the first byte, or kNone.
  uint32_t start(uint8_t byte) const { return root_[byte]; }
  /// The node after one more byte, or kNone.
  uint32_t step(uint32_t node, uint8_t byte) const {
    const Node& n = nodes_[node];
    for (uint32_t i = 0; i < n.edges; ++i) {  // sorted; few have more than a handful
      if (labels_[n.first_edge + i] == byte) return n.first_edge + i;
    }
    return kNone;
  }
  /// The value of the key that ends at `node`, or -1.
  int32_t value(uint32_t node) const { return nodes_[node].value; }

 private:
  // Nodes lie in breadth-first order, so that the children of a node are neighbours and a child's number is
  // also the number of the edge that leads to it.
  struct Node {
    uint32_t first_edge = 0;  // number of the first child
    uint32_t edges = 0;
    int32_t value = -1;
  };
  std::vector<Node> nodes_;      // without the root
  std::vector<uint8_t> labels_;  // [nodes_], byte on the edge into the node
  std::array<uint32_t, 256> root_{};
};

}  // namespace tern
