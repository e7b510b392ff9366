// SPDX-License-Identifier: MIT
// Which bytes of a file are there, and how the missing ones are cut into parts that are fetched at the same
// time.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace tern::hub {

/// Bytes begin..end-1.
struct Extent {
  uint64_t begin = 0, end = 0;
  uint64_t size() const { return end - begin; }
  bool operator==(const Extent&) const = default;
};

/// A set of byte positions, kept as extents that neither overlap nor touch.
class ExtentSet {
 public:
  /// Adds an extent (empty ones change nothing); it may overlap what is there.
  void add(Extent extent);
  uint64_t count() const { return count_; }
  bool covers(uint64_t size) const { return count_ == size; }
  /// What is missing of 0..size-1, in order. Nothing of the set may lie beyond `size`.
  std::vector<Extent> missing(uint64_t size) const;
  std::vector<Extent> extents() const;

 private:
  std::map<uint64_t, uint64_t> ends_;  // begin -> end
  uint64_t count_ = 0;
};

/// The missing extents cut into pieces of at most `part_bytes` > 0, in order.
std::vector<Extent> plan_parts(const std::vector<Extent>& missing, uint64_t part_bytes);

}  // namespace tern::hub
