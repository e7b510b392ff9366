// SPDX-License-Identifier: MIT
#include "runtime/kv_cache.h"

#include <cstring>

#include "core/check.h"

namespace tern {

namespace {

int64_t layer_page_bytes(const Config& config, KvType type) {
  const int64_t element = type == KvType::kF16 ? 2 : 4;
  return config.num_kv_heads * 2 * kPageRows * config.head_dim * element;
}

}  // namespace

int64_t KvCache::bytes_per_page(const Config& config, KvType type) {
  return layer_page_bytes(config, type) * config.num_layers;
}

Result<KvCache> KvCache::create(const Config& config, KvType type, int64_t num_pages, Backend& backend) {
  KvCache cache;
  const int64_t page_bytes = bytes_per_page(config, type);
  const auto too_large = [&] {
    return make_error(ErrorCode::kOutOfMemory,
                      "a KV cache of {} pages ({} tokens, {} bytes each) is more than this machine gives: a "
                      "smaller context "
                      "(-c) needs less",
                      num_pages, kPageRows, page_bytes);
  };
  if (num_pages < 1 || num_pages > (int64_t{1} << 46) / page_bytes) return too_large();
  auto memory = backend.allocate(static_cast<size_t>(num_pages * page_bytes));
  if (!memory.ok()) return too_large();
  cache.memory_ = std::move(memory).value();
  cache.view_ = KvView{type,
                       cache.memory_.data(),
                       config.num_layers,
                       layer_page_bytes(config, type),
                       config.num_kv_heads,
                       config.head_dim};
  cache.references_.assign(static_cast<size_t>(num_pages), 0);
  for (int64_t page = num_pages - 1; page >= 0; --page) cache.free_.push_back(static_cast<int32_t>(page));
  return cache;
}

int32_t KvCache::allocate() {
  if (free_.empty()) return -1;
  const int32_t page = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(page)] = 1;
  return page;
}

void KvCache::add_reference(int32_t page) {
  TERN_CHECK(references(page) > 0, "a reference to a free page");
  ++references_[static_cast<size_t>(page)];
}

void KvCache::release(int32_t page) {
  TERN_CHECK(references(page) > 0, "a free page released");
  if (--references_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

void KvCache::copy(int32_t from, int32_t to) {
  const auto bytes = static_cast<size_t>(view_.page_bytes * view_.num_layers);
  std::memcpy(view_.base + static_cast<size_t>(to) * bytes, view_.base + static_cast<size_t>(from) * bytes,
              bytes);
}

}  // namespace tern
