// SPDX-License-Identifier: MIT
// Holds back generated text that may still become a stop string. What comes out never contains a stop string
// or the beginning of one that was completed later, however the text was cut into parts. Pure push/finish;
// one per sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern {

/// The stop strings of a request, compiled once; immutable.
class StopSet {
 public:
  /// Errors (kUsage): an empty stop string, one that is not valid UTF-8, more than 64 KiB of them together.
  static Result<std::shared_ptr<const StopSet>> create(std::vector<std::string> stops);

  const std::vector<std::string>& stops() const { return stops_; }

 private:
  friend class StopStrings;
  StopSet() = default;
  // An Aho-Corasick automaton. The depth of the state after a text is the length of the longest end of the
  // text that is a beginning of some stop string: exactly what must be held back.
  struct State {
    std::vector<std::pair<uint8_t, uint32_t>> next;  // sorted by byte
    uint32_t fallback = 0;                           // state of the longest proper end of this state's text
    uint32_t depth = 0;
    int32_t stop = -1;  // the longest stop string that ends here, index of stops_
  };
  uint32_t step(uint32_t state, uint8_t byte) const;
  const uint32_t* child(uint32_t state, uint8_t byte) const;

  std::vector<std::string> stops_;
  std::vector<State> states_;  // [0] is the root
};

/// Where several stop strings apply, the one that is complete first counts; of those that end together, the
/// longest.
class StopStrings {
 public:
  explicit StopStrings(std::shared_ptr<const StopSet> set) : set_(std::move(set)) {}

  /// The text that is safe to show. After a stop: always empty.
  std::string push(std::string_view text);
  /// Text held back that turned out not to be a stop string. Empty after a stop.
  std::string finish();
  /// Index of the stop string that was met, if any.
  std::optional<size_t> stopped() const { return stopped_; }

 private:
  std::shared_ptr<const StopSet> set_;
  uint32_t state_ = 0;
  std::string held_;  // [depth of state_]
  std::optional<size_t> stopped_;
};

}  // namespace tern
