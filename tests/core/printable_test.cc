// SPDX-License-Identifier: MIT
#include "core/printable.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

TEST(Printable, KeepsTextAndEscapesTheRest) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("blk.0 'a' \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "blk.0 'a' \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(printable("a\nb\r\t\x7f\x1b[31m"), "a\\x0ab\\x0d\\x09\\x7f\\x1b[31m");
  EXPECT_EQ(printable("a\\x0a"), "a\\\\x0a");        // not to be mixed up with an escaped newline
  EXPECT_EQ(printable("\xff\xc3("), "\\xff\\xc3(");  // no UTF-8
  EXPECT_EQ(printable("\xc2\x85\xe2\x80\xa8"), "\\xc2\\x85\\xe2\\x80\\xa8");  // next line, line separator
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

// A long text is cut between characters, and says so.
TEST(Printable, CutsAtTheLimit) {
  EXPECT_EQ(printable("abcd", 4), "abcd");
  EXPECT_EQ(printable("abcde", 4), "abcd...");
  EXPECT_EQ(printable("abc\xc3\xa9", 4), "abc...");
  EXPECT_EQ(printable("abc\n", 4), "abc...");
  EXPECT_EQ(printable(std::string(1000, 'a')).size(), 64u + 3u);
}

// Every code point in every length of sequence: the shortest form is text, all longer ones and the surrogates
// are not.
TEST(Utf8, ExactlyTheShortestFormsOfAllScalarValues) {
  for (uint32_t code_point = 0; code_point < 0x200000; ++code_point) {
    const auto part = [&](uint32_t lead, int shift) {
      return static_cast<char>(lead | (code_point >> shift & 0x3f));
    };
    const char two[] = {static_cast<char>(0xc0 | code_point >> 6), part(0x80, 0)};
    const char three[] = {static_cast<char>(0xe0 | code_point >> 12), part(0x80, 6), part(0x80, 0)};
    const char four[] = {static_cast<char>(0xf0 | code_point >> 18), part(0x80, 12), part(0x80, 6),
                         part(0x80, 0)};
    const bool is_surrogate = code_point >= 0xd800 && code_point < 0xe000;
    if (code_point < 0x800) {
      ASSERT_EQ(is_utf8(std::string_view(two, 2)), code_point >= 0x80) << code_point;
    }
    if (code_point < 0x10000) {
      ASSERT_EQ(is_utf8(std::string_view(three, 3)), code_point >= 0x800 && !is_surrogate) << code_point;
    }
    ASSERT_EQ(is_utf8(std::string_view(four, 4)), code_point >= 0x10000 && code_point < 0x110000)
        << code_point;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    EXPECT_EQ(is_utf8(std::string_view(&c, 1)), byte < 0x80);
    EXPECT_EQ(is_plain_text(std::string_view(&c, 1)), byte >= 0x20 && byte < 0x7f);
  }
  EXPECT_FALSE(is_utf8("\xe2\x82"));      // cut
  EXPECT_FALSE(is_utf8("\xe2\x28\xa1"));  // not a continuation
  EXPECT_TRUE(is_plain_text("\xc2\xa0"));
  EXPECT_FALSE(is_plain_text("\xc2\x9f"));
  EXPECT_FALSE(is_plain_text("a\xe2\x80\xa9"));
}

}  // namespace
}  // namespace tern
