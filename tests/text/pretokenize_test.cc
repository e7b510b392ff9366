// SPDX-License-Identifier: MIT
// The hand-written splitters against the regular expressions they stand for (run by PCRE2), on random text of
// awkward characters and on real corpora; and the behaviours of tokenizer.json's Split.
#include "text/pretokenize.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/text/test_tokenizers.h"
#include "text/byte_alphabet.h"

namespace tern {
namespace {

struct Collect final : PieceSink {
  std::vector<std::string> pieces;
  void piece(std::string_view text) override { pieces.emplace_back(text); }
};

std::vector<std::string> split(const PreTokenizer& pre, std::string_view text) {
  Collect sink;
  pre.split(text, sink);
  return sink.pieces;
}

PreTokenizer make(std::vector<PreStep> steps, UnicodeVersion version = UnicodeVersion::k14) {
  auto pre = PreTokenizer::create(std::move(steps), version);
  EXPECT_TRUE(pre.ok()) << (pre.ok() ? "" : pre.error().message);
  return std::move(*pre);
}

PreStep regex(std::string text) {
  PreStep step;
  step.kind = PreStep::Kind::kRegex;
  step.text = std::move(text);
  return step;
}

const char* const kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
const char* const kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
const char* const kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct Case {
  const char* name;
  std::vector<std::string> expressions;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"llama-bpe", {kLlama3}},
      {"qwen2", {kQwen2}},
      {"gpt-2", {kGpt2}},
      {"mpt", {kGpt2}},
      {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9][0-9][0-9]"}},
      {"falcon3", {kLlama3}},
      {"falcon3-bitnet", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9]"}},
      {"falcon_e", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9]"}},
      {"falcon_e-llama", {kLlama3}},
      {"deepseek-coder",
       {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+", "\\p{N}"}},
      {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
  };
  return all;
}

PreTokenizer by_name(const char* name) {
  auto recipe = pre_recipe(name);
  EXPECT_TRUE(recipe.has_value());
  return make(recipe->steps);
}

PreTokenizer by_regex(const Case& c) {
  std::vector<PreStep> steps;
  for (const std::string& e : c.expressions) steps.push_back(regex(e));
  return make(steps);
}

std::vector<std::string> awkward_characters() {
  // Letters of one to four bytes, an unassigned one, marks, digits of other scripts, all sorts of spaces,
  // U+180E, the long s, invalid bytes.
  return {"a",
          "B",
          "s",
          "t",
          "re",
          "ll",
          "'",
          "'s",
          "'S",
          "'\u017F",
          "\u2019s",
          " ",
          "  ",
          "\t",
          "\n",
          "\r",
          "\r\n",
          "\n\n",
          "\u00A0",
          "\u3000",
          "\u2028",
          "\u180E",
          "\u0085",
          "1",
          "23",
          "456",
          "\u0663",
          "\u00BD",
          "\u2167",
          "\u00B2",
          ".",
          "!!",
          "$",
          "+",
          "`",
          "|",
          "~",
          "_",
          "\u20AC",
          "\u4E2D",
          "\u0939\u093F",
          "\u0301",
          "\u00E9",
          "\uAC00",
          "\U0001F600",
          "\U0001F468\u200D\U0001F469",
          "\U00020000",
          "\U0001D7CE",
          "\u0378",
          "\x01",
          "\xFF",
          "\xE2\x82",
          "\xED\xA0\x80",
          "\u0000x"};
}

TEST(PreTokenize, SameCutsAsTheExpressionsOnAwkwardText) {
  const std::vector<std::string> alphabet = awkward_characters();
  std::mt19937 random(1);
  for (const Case& c : cases()) {
    const PreTokenizer hand = by_name(c.name), reference = by_regex(c);
    for (int round = 0; round < 4000; ++round) {
      std::string text;
      for (size_t n = 1 + random() % 12; n > 0; --n) text += alphabet[random() % alphabet.size()];
      ASSERT_EQ(split(hand, text), split(reference, text))
          << c.name << ": " << ::testing::PrintToString(text);
    }
  }
}

TEST(PreTokenize, SameCutsAsTheExpressionsOnCorpora) {
  for (const char* file :
       {"corpora/blns.json", "corpora/code/humaneval_js.jsonl", "corpora/flores200/hin_Deva.devtest",
        "corpora/flores200/zho_Hans.devtest", "corpora/flores200/arb_Arab.devtest"}) {
    TERN_REQUIRE_DATA(path, file);
    const std::string text = test::read_file(path);
    for (const Case& c : cases())
      ASSERT_EQ(split(by_name(c.name), text), split(by_regex(c), text)) << c.name << file;
  }
}

TEST(PreTokenize, PiecesJoinToTheText) {
  std::mt19937 random(5);
  for (const Case& c : cases()) {
    const PreTokenizer pre = by_name(c.name);
    for (int round = 0; round < 500; ++round) {
      std::string text, joined;
      for (size_t n = random() % 64; n > 0; --n) text += static_cast<char>(random());
      for (const std::string& piece : split(pre, text)) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text) << c.name;
    }
  }
}

TEST(PreTokenize, WellKnownExpressionsAreHandWritten) {
  EXPECT_EQ(step_for_regex(kLlama3).kind, PreStep::Kind::kLlama3);
  EXPECT_EQ(step_for_regex(kLlama3).max_run, 3u);
  EXPECT_EQ(step_for_regex(kQwen2).max_run, 1u);
  EXPECT_EQ(step_for_regex(kGpt2).kind, PreStep::Kind::kGpt2);
  EXPECT_EQ(step_for_regex("[0-9][0-9][0-9]").kind, PreStep::Kind::kCharRun);
  EXPECT_EQ(step_for_regex("\\p{Han}+").kind, PreStep::Kind::kRegex);
}

TEST(PreTokenize, UnknownNamesAreUnknown) {
  EXPECT_FALSE(pre_recipe("").has_value());
  EXPECT_FALSE(pre_recipe("llama-bpe ").has_value());
  EXPECT_FALSE(pre_recipe("gpt-4o").has_value());
  EXPECT_NE(known_pre_names().find("falcon_e"), std::string::npos);
}

TEST(PreTokenize, SplitBehaviours) {
  const auto result = [](SplitBehavior behavior, bool invert, const char* text) {
    PreStep step;
    step.kind = PreStep::Kind::kLiteral;
    step.text = "-";
    step.behavior = behavior;
    step.invert = invert;
    return split(make({step}), text);
  };
  using List = std::vector<std::string>;
  // The example in the documentation of Hugging Face's tokenizers.
  const char* text = "the-final--countdown";
  EXPECT_EQ(result(SplitBehavior::kRemoved, false, text), (List{"the", "final", "countdown"}));
  EXPECT_EQ(result(SplitBehavior::kIsolated, false, text),
            (List{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(result(SplitBehavior::kMergedWithPrevious, false, text),
            (List{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(result(SplitBehavior::kMergedWithNext, false, text), (List{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(result(SplitBehavior::kContiguous, false, text), (List{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(result(SplitBehavior::kRemoved, true, text), (List{"-", "-", "-"}));
  EXPECT_EQ(result(SplitBehavior::kMergedWithNext, false, "-a-"), (List{"-a", "-"}));
  EXPECT_EQ(result(SplitBehavior::kMergedWithPrevious, false, "-a-"), (List{"-", "a-"}));
  EXPECT_EQ(result(SplitBehavior::kIsolated, false, "plain"), (List{"plain"}));
}

TEST(PreTokenize, RefusesExpressionsThatMeanSomethingElse) {
  for (const char* bad : {"[a&&b]", "\\h+", "(?m)a.b", "(unclosed", "[[a]b]", "a{2,3}+", "\xFF"}) {
    EXPECT_FALSE(PreTokenizer::create({regex(bad)}, UnicodeVersion::k15).ok()) << bad;
  }
  EXPECT_TRUE(PreTokenizer::create({regex("[[:alpha:]]+|[^\\]\\[]")}, UnicodeVersion::k15).ok());
}

TEST(PreTokenize, LongRunsAreLinear) {
  // No time is asserted; a quadratic splitter would not come back within the patience of whoever runs this.
  for (const Case& c : cases()) {
    const PreTokenizer pre = by_name(c.name);
    for (const std::string unit : {" ", "a", "'", "\n", " \n", "1", ".", "\u3000", "\xFF", "'s", " a\r"}) {
      std::string text;
      while (text.size() < (size_t{1} << 18)) text += unit;
      size_t bytes = 0;
      for (const std::string& piece : split(pre, text)) bytes += piece.size();
      EXPECT_EQ(bytes, text.size());
    }
  }
}

TEST(UnicodeTables, VersionsDifferWhereUnicodeDoes) {
  const CharClasses v14(UnicodeVersion::k14), v15(UnicodeVersion::k15), v16(UnicodeVersion::k16);
  EXPECT_EQ(v14.of(0x31350), 0);  // CJK extension H came with 15
  EXPECT_NE(v15.of(0x31350) & char_class::kLetter, 0);
  EXPECT_EQ(v15.of(0x10D4A), 0);  // Garay came with 16
  EXPECT_NE(v16.of(0x10D4A) & char_class::kLetter, 0);
  for (const CharClasses* v : {&v14, &v15, &v16}) {
    EXPECT_EQ(v->of(0x180E) & char_class::kSpace, 0);
    EXPECT_NE(v->of(0x3000) & char_class::kSpace, 0);
    EXPECT_EQ(v->of(kInvalidCodePoint), 0);
    EXPECT_EQ(v->of('7') & char_class::kNumber, char_class::kNumber);
    EXPECT_EQ(v->of('$') & (char_class::kSymbol | char_class::kPunctuation), char_class::kSymbol);
  }
}

TEST(ByteAlphabet, EveryByteComesBack) {
  std::vector<bool> used(0x144);
  for (int b = 0; b < 256; ++b) {
    const uint32_t c = byte_to_alphabet(static_cast<uint8_t>(b));
    ASSERT_LT(c, used.size());
    EXPECT_FALSE(used[c]);
    used[c] = true;
    EXPECT_EQ(alphabet_to_byte(c), b);
  }
  EXPECT_EQ(byte_to_alphabet(' '), 0x120u);
  EXPECT_EQ(alphabet_to_byte(' '), -1);
  EXPECT_EQ(alphabet_to_byte(0x144), -1);
  EXPECT_EQ(bytes_of_alphabet("\u0120a"), " a");
  EXPECT_EQ(bytes_of_alphabet("a b"), std::nullopt);
}

}  // namespace
}  // namespace tern
