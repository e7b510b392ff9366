// SPDX-License-Identifier: MIT
// Pages of keys and values: 64 positions of one sequence, all layers, each. Counts references, so that
// sequences can share pages (fork). Holds no model and no tokens; a sequence's page list lives in Sequence.
// Threads: owned by whoever calls step; not for concurrent use.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "kernels/backend.h"
#include "model/config.h"

namespace tern {

class KvCache {
 public:
  /// Reserves `num_pages` pages. The system commits memory only as pages are first written. Errors:
  /// kOutOfMemory.
  static Result<KvCache> create(const Config& config, KvType type, int64_t num_pages, Backend& backend);

  /// Bytes of one page, all layers.
  static int64_t bytes_per_page(const Config& config, KvType type);

  int64_t num_pages() const { return static_cast<int64_t>(references_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  KvType type() const { return view_.type; }
  const KvView& view() const { return view_; }

  /// A page with one reference, or -1 where none is free. Its contents are undefined.
  int32_t allocate();
  void add_reference(int32_t page);
  /// Drops one reference; at zero the page is free again.
  void release(int32_t page);
  int32_t references(int32_t page) const { return references_[static_cast<size_t>(page)]; }
  /// Copies the contents of a page over another.
  void copy(int32_t from, int32_t to);

 private:
  KvCache() = default;
  Buffer memory_;
  KvView view_;
  std::vector<int32_t> references_;  // [num_pages]
  std::vector<int32_t> free_;        // a stack; lowest page on top at the start
};

}  // namespace tern
