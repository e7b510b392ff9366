// SPDX-License-Identifier: MIT
#include "text/stop_strings.h"

#include <algorithm>

#include "text/utf8.h"

namespace tern {

Result<std::shared_ptr<const StopSet>> StopSet::create(std::vector<std::string> stops) {
  constexpr size_t kMaxBytes = 64 * 1024;
  size_t bytes = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty()) return make_error(ErrorCode::kUsage, "stop string {} is empty", i);
    if (!is_valid_utf8(stops[i]))
      return make_error(ErrorCode::kUsage, "stop string {} is not valid UTF-8", i);
    bytes += stops[i].size();
  }
  if (bytes > kMaxBytes) {
    return make_error(ErrorCode::kUsage, "stop strings of {} bytes together, at most {} are allowed", bytes,
                      kMaxBytes);
  }
  std::shared_ptr<StopSet> set(new StopSet());
  auto& states = set->states_;
  states.emplace_back();
  for (size_t i = 0; i < stops.size(); ++i) {
    uint32_t at = 0;
    for (const char c : stops[i]) {
      const uint8_t byte = static_cast<uint8_t>(c);
      if (const uint32_t* next = set->child(at, byte)) {
        at = *next;
        continue;
      }
      const uint32_t added = static_cast<uint32_t>(states.size());
      auto& edges = states[at].next;
      edges.insert(std::lower_bound(edges.begin(), edges.end(), std::pair{byte, uint32_t{0}}), {byte, added});
      const uint32_t depth = states[at].depth + 1;
      states.emplace_back();
      states.back().depth = depth;
      at = added;
    }
    if (states[at].stop < 0) states[at].stop = static_cast<int32_t>(i);
  }
  // Fallbacks level by level, so that shorter texts are complete before longer ones need them.
  std::vector<uint32_t> queue;
  for (const auto& [byte, state] : states[0].next) queue.push_back(state);
  for (size_t i = 0; i < queue.size(); ++i) {
    const uint32_t at = queue[i];
    for (const auto& [byte, state] : states[at].next) {
      states[state].fallback = set->step(states[at].fallback, byte);
      queue.push_back(state);
    }
    if (states[at].stop < 0) states[at].stop = states[states[at].fallback].stop;
  }
  set->stops_ = std::move(stops);
  return std::shared_ptr<const StopSet>(std::move(set));
}

const uint32_t* StopSet::child(uint32_t state, uint8_t byte) const {
  const auto& edges = states_[state].next;
  const auto at = std::lower_bound(edges.begin(), edges.end(), std::pair{byte, uint32_t{0}});
  return at != edges.end() && at->first == byte ? &at->second : nullptr;
}

uint32_t StopSet::step(uint32_t state, uint8_t byte) const {
  for (;; state = states_[state].fallback) {
    if (const uint32_t* next = child(state, byte)) return *next;
    if (state == 0) return 0;
  }
}

std::string StopStrings::push(std::string_view text) {
  std::string out;
  if (stopped_) return out;
  for (size_t i = 0; i < text.size(); ++i) {
    held_ += text[i];
    state_ = set_->step(state_, static_cast<uint8_t>(text[i]));
    const StopSet::State& state = set_->states_[state_];
    if (state.stop >= 0) {
      stopped_ = static_cast<size_t>(state.stop);
      held_.resize(held_.size() - set_->stops_[*stopped_].size());
      out.append(held_);
      held_.clear();
      return out;
    }
    // Let go in blocks, not byte by byte, so that a long text costs linear time.
    if (held_.size() >= 2 * size_t{state.depth} + 64 || i + 1 == text.size()) {
      const size_t safe = held_.size() - state.depth;
      out.append(held_, 0, safe);
      held_.erase(0, safe);
    }
  }
  return out;
}

std::string StopStrings::finish() {
  std::string out;
  if (!stopped_) out.swap(held_);
  held_.clear();
  state_ = 0;
  return out;
}

}  // namespace tern
