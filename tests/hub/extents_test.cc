// SPDX-License-Identifier: MIT
// Which bytes are there: the set of extents against a plain array of flags, the cutting into parts, the
// journal cut off at every byte.
#include "hub/extents.h"

#include <gtest/gtest.h>

#include <random>

#include "hub/journal.h"

namespace tern::hub {
namespace {

// The definition: a flag for each byte.
std::vector<Extent> missing_by_flags(const std::vector<bool>& there) {
  std::vector<Extent> gaps;
  for (size_t i = 0; i < there.size(); ++i) {
    if (there[i]) continue;
    if (!gaps.empty() && gaps.back().end == i) {
      gaps.back().end = i + 1;
    } else {
      gaps.push_back({i, i + 1});
    }
  }
  return gaps;
}

TEST(Extents, EqualsFlags) {
  constexpr size_t kSize = 40;
  std::mt19937 rng(1);
  for (int round = 0; round < 500; ++round) {
    ExtentSet set;
    std::vector<bool> there(kSize);
    for (int step = 0; step < 12; ++step) {
      const size_t a = rng() % (kSize + 1), b = rng() % (kSize + 1);
      set.add({a, b});
      for (size_t i = a; i < b; ++i) there[i] = true;
      const auto count = static_cast<uint64_t>(std::count(there.begin(), there.end(), true));
      ASSERT_EQ(set.count(), count);
      ASSERT_EQ(set.covers(kSize), count == kSize);
      ASSERT_EQ(set.missing(kSize), missing_by_flags(there));
      const auto extents = set.extents();
      for (size_t i = 1; i < extents.size(); ++i)
        ASSERT_LT(extents[i - 1].end, extents[i].begin) << "they touch";
    }
  }
}

TEST(Extents, PartsCoverExactlyWhatIsMissing) {
  const std::vector<Extent> missing = {{0, 10}, {12, 13}, {20, 41}};
  for (uint64_t part = 1; part <= 50; ++part) {
    ExtentSet set;
    uint64_t sum = 0, at = 0;
    for (const Extent& extent : plan_parts(missing, part)) {
      EXPECT_LE(extent.size(), part);
      EXPECT_GE(extent.begin, at);
      at = extent.end;
      sum += extent.size();
      set.add(extent);
    }
    EXPECT_EQ(sum, 32u);
    EXPECT_EQ(set.extents(), missing);
  }
  EXPECT_TRUE(plan_parts({}, 5).empty());
  EXPECT_EQ(plan_parts({{0, UINT64_MAX}}, UINT64_MAX).size(), 1u) << "no overflow";
}

TEST(Journal, IsReadBack) {
  Journal journal;
  journal.size = 100;
  journal.tag = "abc";
  journal.done.add({0, 10});
  journal.done.add({50, 100});
  const auto read = parse_journal(journal_text(journal), 100);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->tag, "abc");
  EXPECT_EQ(read->done.extents(), journal.done.extents());
  EXPECT_FALSE(parse_journal(journal_text(journal), 101)) << "of another size";
}

// A kill may cut the file anywhere: what is read then is never more than what was written.
TEST(Journal, CutAnywhereSaysLess) {
  Journal journal;
  journal.size = 1000;
  const std::string text =
      journal_text(journal) + journal_tag_line("t") + journal_line({10, 20}) + journal_line({123, 456});
  for (size_t length = 0; length <= text.size(); ++length) {
    const auto read = parse_journal(std::string_view(text).substr(0, length), 1000);
    if (!read) continue;
    const auto extents = read->done.extents();
    EXPECT_LE(extents.size(), 2u);
    EXPECT_TRUE(extents.empty() || extents[0] == (Extent{10, 20}));
    EXPECT_TRUE(extents.size() < 2 || extents[1] == (Extent{123, 456}));
  }
}

TEST(Journal, NonsenseIsNone) {
  for (const char* bad :
       {"", "tern-partial 1 10", "tern-partial 2 10\n", "tern-partial 1 10\nhave 5\n",
        "tern-partial 1 10\nhave 5 11\n", "tern-partial 1 10\nhave 5 5\n", "tern-partial 1 10\nwhat 1 2\n",
        "tern-partial 1 10\ntag \"a\"\ntag \"b\"\n", "tern-partial 1 10\nhave -1 5\n", "have 0 10\n"}) {
    EXPECT_FALSE(parse_journal(bad, 10)) << bad;
  }
}

}  // namespace
}  // namespace tern::hub
