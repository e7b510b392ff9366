// SPDX-License-Identifier: MIT
// Pages and sequences without a model: every token leaves a mark at its place in its page, and after any
// history of appending, rolling back, forking and dropping, each sequence must find exactly its own marks,
// and every page be accounted for.
#include "runtime/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

Config small_config() {
  Config c;
  c.num_layers = 3;
  c.num_kv_heads = 2;
  c.head_dim = 4;
  return c;
}

class SequenceTest : public testing::Test {
 protected:
  static KvCache make_cache(Backend& backend, int64_t pages) {
    auto cache = KvCache::create(small_config(), KvType::kF16, pages, backend);
    TERN_CHECK(cache.ok(), "no cache");
    return std::move(*cache);
  }
  /// Where the mark of a position stands: an int32 in the last layer of its page.
  int32_t* mark(const Sequence& s, int64_t position) {
    const KvView& view = cache_.view();
    std::byte* page = view.base + (s.pages()[position / kPageRows] * view.num_layers + view.num_layers - 1) *
                                      view.page_bytes;
    return reinterpret_cast<int32_t*>(page) + position % kPageRows;
  }
  /// Appends and leaves marks, as a step would.
  Status append(Sequence& s, const std::vector<int32_t>& tokens) {
    const int64_t begin = s.length();
    TERN_TRY(s.append(tokens.data(), static_cast<int64_t>(tokens.size())));
    for (int64_t i = begin; i < s.length(); ++i) *mark(s, i) = tokens[static_cast<size_t>(i - begin)];
    return {};
  }
  void expect_own_marks(const Sequence& s) {
    ASSERT_EQ(s.page_count(), (s.length() + kPageRows - 1) / kPageRows);
    for (int64_t i = 0; i < s.length(); ++i) {
      ASSERT_EQ(*mark(s, i), s.tokens()[static_cast<size_t>(i)]) << "position " << i;
    }
  }

  Machine machine_;
  KvCache cache_ = make_cache(machine_.backend(), 40);
};

TEST_F(SequenceTest, BytesOfAPage) {
  // 3 layers, 2 heads, keys and values, 64 positions, 4 values of 2 or 4 bytes.
  EXPECT_EQ(KvCache::bytes_per_page(small_config(), KvType::kF16), 3 * 2 * 2 * 64 * 4 * 2);
  EXPECT_EQ(KvCache::bytes_per_page(small_config(), KvType::kF32), 3 * 2 * 2 * 64 * 4 * 4);
}

TEST_F(SequenceTest, ACacheThatCannotBeIsRefused) {
  for (const int64_t pages : {int64_t{0}, int64_t{-1}, int64_t{1} << 60}) {
    const auto cache = KvCache::create(small_config(), KvType::kF16, pages, machine_.backend());
    ASSERT_FALSE(cache.ok());
    EXPECT_EQ(cache.error().code, ErrorCode::kOutOfMemory);
  }
}

TEST_F(SequenceTest, PagesAreTakenWhenNeededAndReturned) {
  {
    Sequence s(cache_);
    EXPECT_EQ(s.pages_needed(0), 0);
    EXPECT_EQ(s.pages_needed(64), 1);
    EXPECT_EQ(s.pages_needed(65), 2);
    ASSERT_TRUE(append(s, std::vector<int32_t>(64, 5)).ok());
    EXPECT_EQ(cache_.free_pages(), 39);
    ASSERT_TRUE(append(s, {6}).ok());
    EXPECT_EQ(cache_.free_pages(), 38);
    s.truncate(64);
    EXPECT_EQ(cache_.free_pages(), 39);
    Sequence moved = std::move(s);
    EXPECT_EQ(moved.length(), 64);
    EXPECT_EQ(s.length(), 0);  // NOLINT: what a moved-from sequence holds is part of the contract
    EXPECT_EQ(cache_.free_pages(), 39);
  }
  EXPECT_EQ(cache_.free_pages(), 40);
}

TEST_F(SequenceTest, AFullCacheChangesNothing) {
  Sequence a(cache_), b(cache_);
  ASSERT_TRUE(append(a, std::vector<int32_t>(39 * 64 + 10, 1)).ok());
  EXPECT_EQ(cache_.free_pages(), 0);
  const std::vector<int32_t> one = {2};
  Status status = b.append(one.data(), 1);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(status.error().message, testing::HasSubstr("1 more pages of 64 tokens needed, 0 free"));
  EXPECT_EQ(b.length(), 0);
  ASSERT_TRUE(append(a, std::vector<int32_t>(54, 3)).ok());  // the last page still has room
  ASSERT_FALSE(append(a, {4}).ok());
  EXPECT_EQ(a.length(), 40 * 64);
  expect_own_marks(a);

  // A fork of a partial page needs a free page to grow, and says so before anything changes.
  a.truncate(39 * 64 + 10);
  Sequence fork = a.fork();
  EXPECT_EQ(fork.pages_needed(1), 1);
  ASSERT_FALSE(append(fork, {4}).ok());
  EXPECT_EQ(fork.length(), a.length());
  expect_own_marks(fork);
}

TEST_F(SequenceTest, AForkSharesFullPagesAndCopiesThePartialOneWhenEitherGrows) {
  Sequence a(cache_);
  ASSERT_TRUE(append(a, std::vector<int32_t>(70, 1)).ok());
  Sequence b = a.fork();
  EXPECT_EQ(cache_.free_pages(), 38);
  EXPECT_EQ(cache_.references(a.pages()[0]), 2);
  ASSERT_TRUE(append(a, {2}).ok());  // the original grows first
  EXPECT_EQ(cache_.free_pages(), 37);
  EXPECT_EQ(a.pages()[0], b.pages()[0]);
  EXPECT_NE(a.pages()[1], b.pages()[1]);
  EXPECT_EQ(b.pages_needed(1), 0);  // b owns the old page alone now
  ASSERT_TRUE(append(b, {3}).ok());
  EXPECT_EQ(cache_.free_pages(), 37);
  expect_own_marks(a);
  expect_own_marks(b);

  Sequence c = b.fork();
  c.truncate(30);  // into a page that three share
  ASSERT_TRUE(append(c, {9, 9}).ok());
  expect_own_marks(a);
  expect_own_marks(b);
  expect_own_marks(c);
}

TEST_F(SequenceTest, AnyHistoryKeepsEveryMarkAndEveryPage) {
  uint32_t state = 99;
  auto random = [&state](uint32_t below) { return ((state = state * 1664525u + 1013904223u) >> 8) % below; };
  std::vector<Sequence> all;
  int32_t next = 1;
  int refused = 0;
  for (int step = 0; step < 4000; ++step) {
    const uint32_t action = random(10);
    if (all.empty() || (action == 0 && all.size() < 12)) {
      all.emplace_back(cache_);
    } else if (action == 1 && all.size() < 12) {
      all.push_back(all[random(static_cast<uint32_t>(all.size()))].fork());
    } else if (action == 2) {
      all.erase(all.begin() + random(static_cast<uint32_t>(all.size())));
    } else if (action <= 4) {
      Sequence& s = all[random(static_cast<uint32_t>(all.size()))];
      s.truncate(random(static_cast<uint32_t>(s.length()) + 1));
    } else {
      Sequence& s = all[random(static_cast<uint32_t>(all.size()))];
      std::vector<int32_t> tokens(random(150));
      for (int32_t& token : tokens) token = next++;
      const int64_t length = s.length(), needed = s.pages_needed(static_cast<int64_t>(tokens.size()));
      const int64_t free = cache_.free_pages();
      if (append(s, tokens).ok()) {
        ASSERT_EQ(cache_.free_pages(), free - needed);
      } else {
        ASSERT_GT(needed, free);
        ASSERT_EQ(s.length(), length);
        ASSERT_EQ(cache_.free_pages(), free);
        ++refused;
      }
    }
    std::map<int32_t, int32_t> users;
    for (const Sequence& s : all) {
      for (int64_t i = 0; i < s.page_count(); ++i) ++users[s.pages()[i]];
    }
    ASSERT_EQ(cache_.free_pages() + static_cast<int64_t>(users.size()), cache_.num_pages());
    for (const auto& [page, count] : users) ASSERT_EQ(cache_.references(page), count);
    if (step % 10 == 0) {
      for (const Sequence& s : all) expect_own_marks(s);
    }
  }
  EXPECT_GT(refused, 10);  // the cache was full often enough to try that
  all.clear();
  EXPECT_EQ(cache_.free_pages(), cache_.num_pages());
}

}  // namespace
}  // namespace tern::test
