// SPDX-License-Identifier: MIT
#include "runtime/sequence.h"

#include "core/check.h"

namespace tern {

namespace {

int64_t pages_for(int64_t length) { return (length + kPageRows - 1) / kPageRows; }

}  // namespace

int64_t Sequence::pages_needed(int64_t count) const {
  if (count == 0) return 0;
  const bool writes_shared_page = length() % kPageRows != 0 && cache_->references(pages_.back()) > 1;
  return pages_for(length() + count) - page_count() + (writes_shared_page ? 1 : 0);
}

Status Sequence::append(const int32_t* tokens, int64_t count) {
  const int64_t needed = pages_needed(count);
  if (needed > cache_->free_pages()) {
    return make_error(ErrorCode::kOutOfMemory,
                      "the KV cache is full: {} more pages of {} tokens needed, {} free", needed, kPageRows,
                      cache_->free_pages());
  }
  if (count > 0 && length() % kPageRows != 0 && cache_->references(pages_.back()) > 1) {
    const int32_t copy = cache_->allocate();
    cache_->copy(pages_.back(), copy);
    cache_->release(pages_.back());
    pages_.back() = copy;
  }
  tokens_.insert(tokens_.end(), tokens, tokens + count);
  while (page_count() < pages_for(length())) pages_.push_back(cache_->allocate());
  return {};
}

void Sequence::truncate(int64_t new_length) {
  TERN_CHECK(new_length >= 0 && new_length <= length(), "truncate beyond the end");
  tokens_.resize(static_cast<size_t>(new_length));
  while (page_count() > pages_for(new_length)) {
    cache_->release(pages_.back());
    pages_.pop_back();
  }
}

Sequence Sequence::fork() const {
  Sequence other(*cache_);
  other.tokens_ = tokens_;
  other.pages_ = pages_;
  for (const int32_t page : pages_) cache_->add_reference(page);
  return other;
}

}  // namespace tern
