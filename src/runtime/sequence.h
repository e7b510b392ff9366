// SPDX-License-Identifier: MIT
// One conversation's state: the tokens whose keys and values are in the cache, and the pages that hold them.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/kv_cache.h"

namespace tern {

/// Move-only; gives its pages back when destroyed. The cache must outlive it.
class Sequence {
 public:
  explicit Sequence(KvCache& cache) : cache_(&cache) {}
  ~Sequence() { truncate(0); }
  Sequence(Sequence&& other) noexcept
      : cache_(other.cache_), tokens_(std::move(other.tokens_)), pages_(std::move(other.pages_)) {
    other.tokens_.clear();
    other.pages_.clear();
  }
  Sequence& operator=(Sequence&& other) noexcept {
    std::swap(cache_, other.cache_);
    tokens_.swap(other.tokens_);
    pages_.swap(other.pages_);
    return *this;
  }

  const std::vector<int32_t>& tokens() const { return tokens_; }
  int64_t length() const { return static_cast<int64_t>(tokens_.size()); }
  const int32_t* pages() const { return pages_.data(); }
  int64_t page_count() const { return static_cast<int64_t>(pages_.size()); }

  /// Pages that appending `count` tokens would take from the cache, copies of shared pages included.
  int64_t pages_needed(int64_t count) const;
  /// Makes room for and records `tokens`; their keys and values are written by the step that follows.
  /// Errors: kOutOfMemory where the cache has too few free pages (nothing is changed then).
  Status append(const int32_t* tokens, int64_t count);
  /// Rolls back to the first `length` tokens, as if the rest had never been.
  void truncate(int64_t length);
  /// A second sequence with the same past. Full pages are shared; the last, partial one is copied when either
  /// grows.
  Sequence fork() const;

 private:
  KvCache* cache_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> pages_;  // ceil(length/64)
};

}  // namespace tern
