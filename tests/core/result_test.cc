// SPDX-License-Identifier: MIT
// Result and Status: a value or an error, never both, and what the two macros do; the names of element types.
#include "core/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "core/dtype.h"

namespace tern {
namespace {

Result<int> parse(const std::string& text) {
  if (text.empty()) return make_error(ErrorCode::kUsage, "expected a number, found {} bytes", text.size());
  return static_cast<int>(text.size());
}
Status require(bool ok) {
  if (!ok) return make_error(ErrorCode::kIo, "refused");
  return {};
}
Result<int> both(const std::string& a, bool ok, const std::string& b) {
  TERN_TRY_ASSIGN(const int first, parse(a));
  TERN_TRY(require(ok));
  TERN_TRY_ASSIGN(const int second, parse(b));
  return first * 10 + second;
}

TEST(Result, HoldsAValueOrAnError) {
  Result<int> good = parse("abc");
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(3, *good);
  EXPECT_EQ(3, good.value());
  const Result<int> bad = parse("");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(ErrorCode::kUsage, bad.error().code);
  EXPECT_EQ("expected a number, found 0 bytes", bad.error().message);
  EXPECT_EQ("flag -n: expected a number, found 0 bytes", parse("").error().in("flag -n").message);
  EXPECT_EQ(ErrorCode::kUsage, parse("").error().in("flag -n").code);
}

TEST(Result, TryLeavesWithTheFirstError) {
  EXPECT_EQ(12, *both("a", true, "bb"));
  EXPECT_EQ(ErrorCode::kUsage, both("", false, "bb").error().code);
  EXPECT_EQ(ErrorCode::kIo, both("a", false, "").error().code);
  EXPECT_EQ(ErrorCode::kUsage, both("a", true, "").error().code);
}

TEST(Result, CarriesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  std::unique_ptr<int> moved = std::move(result).value();
  EXPECT_EQ(7, *moved);
}

TEST(Result, ReadingTheWrongSideIsABug) {
  EXPECT_DEATH(static_cast<void>(parse("").value()), "value\\(\\) of a failed Result");
  EXPECT_DEATH(static_cast<void>(parse("a").error()), "error\\(\\) of a good Result");
  EXPECT_DEATH(static_cast<void>(Status().error()), "error\\(\\) of a good Status");
}

TEST(DType, NamesAreDistinctAndTernaryIsARange) {
  std::set<std::string_view> names;
  int ternary = 0;
  for (int i = 0; i <= static_cast<int>(DType::kHfU8); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_TRUE(names.insert(dtype_name(dtype)).second) << i;
    EXPECT_NE("?", dtype_name(dtype)) << i;
    ternary += is_ternary(dtype);
  }
  EXPECT_EQ(15, ternary);
  EXPECT_FALSE(is_ternary(DType::kQ6_K));
  EXPECT_TRUE(is_ternary(DType::kI2_S));
}

}  // namespace
}  // namespace tern
