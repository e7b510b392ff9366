// SPDX-License-Identifier: MIT
// Streaming: whatever the cuts, the parts join to the whole, no part holds half a character, no stop string
// leaks.
#include <gtest/gtest.h>

#include <random>

#include "text/stop_strings.h"
#include "text/stream_decoder.h"
#include "text/tiktoken.h"
#include "text/utf8.h"

namespace tern {
namespace {

// A vocabulary of the 256 bytes and some longer tokens that end inside characters.
std::shared_ptr<const Tokenizer> byte_tokenizer() {
  TokenizerSpec spec;
  spec.source = "test";
  spec.merge_rule = MergeRule::kById;
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(std::string(1, static_cast<char>(b)));
  for (const char* token : {"ab", "\xE2\x82", "\xAC!", "\xF0\x9F", "\x98\x80 ", "\xC3"})
    spec.tokens.push_back(token);
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  EXPECT_TRUE(add_special_tokens(spec, {{"<|end|>", static_cast<int32_t>(spec.tokens.size())}}, true).ok());
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok());
  return *tokenizer;
}

const char* const kTexts[] = {
    "plain",
    "caf\u00e9 \u20ac! \U0001F600 end",
    "\u4e2d\u6587\u0939\u093f",
    "\xE2\x82",
    "\xE2\x82x",
    "\xFF\xFE",
    "a\xF0\x9F\x98",
    "\xF0\x9F\x98\x80\xF0\x9F",
    "\xED\xA0\x80",
    "\xC0\xAF",
    "\xF4\x90\x80\x80",
    "",
    "\xE2\xE2\x82\xAC",
};

TEST(Utf8Sanitizer, EveryCutGivesTheSameValidText) {
  for (const std::string text : kTexts) {
    const std::string whole = sanitize_utf8(text);
    EXPECT_TRUE(is_valid_utf8(whole));
    EXPECT_EQ(whole == text, is_valid_utf8(text));
    for (size_t a = 0; a <= text.size(); ++a) {
      for (size_t b = a; b <= text.size(); ++b) {
        Utf8Sanitizer sanitizer;
        std::string out;
        for (const auto& part : {text.substr(0, a), text.substr(a, b - a), text.substr(b)}) {
          std::string piece;
          sanitizer.push(part, piece);
          EXPECT_TRUE(is_valid_utf8(piece));
          out += piece;
        }
        sanitizer.finish(out);
        EXPECT_EQ(out, whole);
      }
    }
  }
}

TEST(Utf8Sanitizer, EveryTwoByteString) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string text = {static_cast<char>(a), static_cast<char>(b)};
      const std::string out = sanitize_utf8(text);
      EXPECT_TRUE(is_valid_utf8(out));
      EXPECT_EQ(out == text, is_valid_utf8(text));
    }
  }
}

TEST(StreamDecoder, SameAsDecodeOfTheWhole) {
  const auto tokenizer = byte_tokenizer();
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) {
      // Mostly the long tokens and bytes above 0x80; a few ids that do not exist.
      ids.push_back(static_cast<int32_t>(random() % 3 == 0 ? 256 + random() % 8 : 0x80 + random() % 0x84));
      if (random() % 16 == 0) ids.back() = -5;
    }
    StreamDecoder stream(tokenizer);
    std::string out;
    for (const int32_t id : ids) {
      const std::string part = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(part));
      out += part;
    }
    out += stream.finish();
    EXPECT_EQ(out, tokenizer->decode(ids, {.at_text_start = false}));
  }
}

TEST(StreamDecoder, HoldsBackHalfACharacter) {
  const auto tokenizer = byte_tokenizer();
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_TRUE(stream.in_character());
  EXPECT_EQ(stream.push(0x82), "");
  EXPECT_EQ(stream.push(0xAC), "\u20ac");
  EXPECT_FALSE(stream.in_character());
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.push('x'), "x");
}

// The definition, written down without any streaming: the stop that is complete first, of those the longest.
struct Expected {
  std::string text;
  std::optional<size_t> stop;
};
Expected expected_stop(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t s = 0; s < stops.size(); ++s) {
      const bool ends_here = std::string_view(text).substr(0, end).ends_with(stops[s]);
      if (ends_here && (!best || stops[s].size() > stops[*best].size())) best = s;
    }
    if (best) return {text.substr(0, end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

void check_stops(const std::string& text, const std::vector<std::string>& stops,
                 const std::vector<size_t>& cuts) {
  auto set = StopSet::create(stops);
  ASSERT_TRUE(set.ok());
  const Expected expected = expected_stop(text, stops);
  StopStrings filter(*set);
  std::string out;
  size_t from = 0;
  for (const size_t cut : cuts) {
    out += filter.push(std::string_view(text).substr(from, cut - from));
    from = cut;
    // What is out already must be a beginning of the final answer: nothing of a stop has leaked.
    EXPECT_EQ(expected.text.substr(0, out.size()), out);
  }
  out += filter.push(std::string_view(text).substr(from));
  out += filter.finish();
  EXPECT_EQ(out, expected.text) << text;
  EXPECT_EQ(filter.stopped(), expected.stop) << text;
}

TEST(StopStrings, EveryPairOfCuts) {
  const std::vector<std::vector<std::string>> sets = {{"</s>"},
                                                      {"abab", "ba"},
                                                      {"stop", "top", "stopping"},
                                                      {"\n\nUser:", "User"},
                                                      {"\u20ac\u20ac", "x\u20ac"},
                                                      {"aab"},
                                                      {}};
  const char* const texts[] = {"hello</s> more",
                               "aaabababa",
                               "don't stopping now",
                               "x\n\nUse\n\nUser: y",
                               "aaaaab",
                               "\u20acx\u20ac\u20ac\u20ac!",
                               "</s",
                               "",
                               "sto",
                               "<<//s></s>"};
  for (const auto& stops : sets) {
    for (const std::string text : texts) {
      for (size_t a = 0; a <= text.size(); ++a) {
        for (size_t b = a; b <= text.size(); ++b) check_stops(text, stops, {a, b});
      }
    }
  }
}

TEST(StopStrings, RandomTextsOverTwoLetters) {
  std::mt19937 random(11);
  const auto word = [&](size_t longest) {
    std::string s;
    for (size_t n = 1 + random() % longest; n > 0; --n) s += random() % 2 ? 'a' : 'b';
    return s;
  };
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stops;
    for (size_t n = 1 + random() % 4; n > 0; --n) stops.push_back(word(9));
    const std::string text = word(200);
    std::vector<size_t> cuts;
    for (size_t at = 0; at < text.size(); at += 1 + random() % 7) cuts.push_back(at);
    check_stops(text, stops, cuts);
  }
}

TEST(StopStrings, NoDelayWithoutABeginning) {
  auto set = StopSet::create({"<|im_end|>"});
  ASSERT_TRUE(set.ok());
  StopStrings filter(*set);
  EXPECT_EQ(filter.push("no sign of it"), "no sign of it");
  EXPECT_EQ(filter.push("a <|im_"), "a ");
  EXPECT_EQ(filter.push("x"), "<|im_x");
}

TEST(StopStrings, RefusesWhatCannotBeMeant) {
  EXPECT_FALSE(StopSet::create({""}).ok());
  EXPECT_FALSE(StopSet::create({"a", "\xFF"}).ok());
  EXPECT_FALSE(StopSet::create({std::string(65 * 1024, 'a')}).ok());
  EXPECT_TRUE(StopSet::create({std::string(64 * 1024, 'a')}).ok());
}

}  // namespace
}  // namespace tern
