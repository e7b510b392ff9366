// SPDX-License-Identifier: MIT
// The two BPE engines (short pieces, long pieces) and the unigram search against definitions written down
// naively, on random vocabularies; and pieces of a megabyte.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern {
namespace {

struct Vocabulary {
  TokenizerSpec spec;
  std::map<std::string, int32_t> ids;
};

std::string random_word(std::mt19937& random, size_t longest, int letters) {
  std::string s;
  for (size_t n = 1 + random() % longest; n > 0; --n) s += static_cast<char>('a' + random() % letters);
  return s;
}

// 256 bytes, then `extra` tokens made by joining earlier ones, as training does.
Vocabulary random_vocabulary(std::mt19937& random, int extra, int letters, MergeRule rule) {
  Vocabulary v;
  v.spec.source = "test";
  v.spec.model = rule == MergeRule::kByScore ? TokenizerModel::kCharBpe : TokenizerModel::kByteBpe;
  v.spec.merge_rule = rule;
  const auto add = [&](const std::string& text) {
    v.ids.emplace(text, static_cast<int32_t>(v.spec.tokens.size()));
    v.spec.tokens.push_back(text);
  };
  for (int b = 0; b < 256; ++b) add(std::string(1, static_cast<char>(b)));
  std::vector<int32_t> usable;
  for (int i = 0; i < letters; ++i) usable.push_back('a' + i);
  for (int tries = 0; tries < extra; ++tries) {
    const int32_t left = usable[random() % usable.size()], right = usable[random() % usable.size()];
    const std::string joined = v.spec.tokens[left] + v.spec.tokens[right];
    if (v.ids.count(joined) != 0 || joined.size() > 40) continue;
    usable.push_back(static_cast<int32_t>(v.spec.tokens.size()));
    v.spec.merges.emplace_back(left, right);
    add(joined);
  }
  for (size_t i = 0; i < v.spec.tokens.size(); ++i) {
    // Few distinct scores, so that ties happen.
    v.spec.scores.push_back(i < 256 ? -1000.0f : -static_cast<float>(random() % 20));
  }
  return v;
}

// Joins the best pair until there is none; of equal ones the leftmost.
std::vector<int32_t> naive_bpe(const Vocabulary& v, const std::string& text) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  const auto rank = [&](const std::string& a, const std::string& b) -> double {
    const auto joined = v.ids.find(a + b);
    if (joined == v.ids.end()) return 1e30;
    switch (v.spec.merge_rule) {
      case MergeRule::kById:
        return joined->second;
      case MergeRule::kByScore:
        return -v.spec.scores[joined->second];
      case MergeRule::kListed:
        break;
    }
    const std::pair<int32_t, int32_t> pair{v.ids.at(a), v.ids.at(b)};
    const auto at = std::find(v.spec.merges.begin(), v.spec.merges.end(), pair);
    return at == v.spec.merges.end() ? 1e30 : static_cast<double>(at - v.spec.merges.begin());
  };
  for (;;) {
    double best = 1e30;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      if (const double r = rank(parts[i], parts[i + 1]); r < best) {
        best = r;
        at = i;
      }
    }
    if (best == 1e30) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& part : parts) ids.push_back(v.ids.at(part));
  return ids;
}

TEST(Bpe, SameAsTheDefinition) {
  std::mt19937 random(2);
  for (const MergeRule rule : {MergeRule::kListed, MergeRule::kById, MergeRule::kByScore}) {
    for (int round = 0; round < 30; ++round) {
      const int letters = 1 + static_cast<int>(random() % 4);
      const Vocabulary v = random_vocabulary(random, 60, letters, rule);
      const auto tokenizer = Tokenizer::create(v.spec);
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
      for (int t = 0; t < 40; ++t) {
        const std::string text = random_word(random, t % 2 == 0 ? 20 : 150, letters);  // both engines
        ASSERT_EQ((*tokenizer)->encode(text), naive_bpe(v, text)) << text;
      }
    }
  }
}

TEST(Bpe, AMegabyteOfOneLetter) {
  std::mt19937 random(4);
  for (const MergeRule rule : {MergeRule::kListed, MergeRule::kById, MergeRule::kByScore}) {
    const Vocabulary v = random_vocabulary(random, 40, 1, rule);
    const auto tokenizer = Tokenizer::create(v.spec);
    ASSERT_TRUE(tokenizer.ok());
    const std::string text(size_t{1} << 20, 'a');
    EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(text)), text);
  }
}

TEST(Bpe, UnusedTokensAreOnlySteps) {
  // "ab" may be joined on the way to "abc" but is never an id of its own.
  TokenizerSpec spec;
  spec.source = "test";
  spec.model = TokenizerModel::kCharBpe;
  spec.merge_rule = MergeRule::kByScore;
  spec.tokens = {"<unk>", "a", "b", "c", "ab", "abc"};
  spec.scores = {0, -5, -5, -5, -1, -2};
  spec.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kNormal,
                TokenType::kNormal,  TokenType::kUnused, TokenType::kNormal};
  spec.unk = 0;
  const auto tokenizer = Tokenizer::create(spec);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->encode("abc"), std::vector<int32_t>{5});
  EXPECT_EQ((*tokenizer)->encode("ab"), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ((*tokenizer)->encode("xyab"),
            (std::vector<int32_t>{0, 1, 2}));  // unknown neighbours are one token
}

TEST(Bpe, CharactersThatAreNoTokensStillMerge) {
  TokenizerSpec spec;
  spec.source = "test";
  spec.model = TokenizerModel::kCharBpe;
  spec.merge_rule = MergeRule::kByScore;
  spec.tokens = {"<unk>", "\u4e2d\u6587", "x"};
  spec.scores = {0, -1, -2};
  spec.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kNormal};
  spec.unk = 0;
  const auto tokenizer = Tokenizer::create(spec);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->encode("x\u4e2d\u6587\u4e2d"), (std::vector<int32_t>{2, 1, 0}));
}

// All ways to cut a short text.
void best_cut(const TokenizerSpec& spec, const std::string& text, size_t at, double score, double& best) {
  if (at == text.size()) {
    best = std::max(best, score);
    return;
  }
  for (size_t id = 1; id < spec.tokens.size(); ++id) {
    if (text.compare(at, spec.tokens[id].size(), spec.tokens[id]) == 0) {
      best_cut(spec, text, at + spec.tokens[id].size(), score + spec.scores[id], best);
    }
  }
}

TEST(Unigram, FindsTheBestCut) {
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    TokenizerSpec spec;
    spec.source = "test";
    spec.model = TokenizerModel::kUnigram;
    spec.exact_scores = true;
    spec.tokens = {"<unk>", "a", "b"};
    for (int i = 0; i < 10; ++i) {
      const std::string word = random_word(random, 4, 2);
      if (std::find(spec.tokens.begin(), spec.tokens.end(), word) == spec.tokens.end())
        spec.tokens.push_back(word);
    }
    for (size_t i = 0; i < spec.tokens.size(); ++i)
      spec.scores.push_back(-static_cast<float>(random() % 1000) / 64);
    spec.types.assign(spec.tokens.size(), TokenType::kNormal);
    spec.types[0] = TokenType::kUnknown;
    spec.unk = 0;
    const auto tokenizer = Tokenizer::create(spec);
    ASSERT_TRUE(tokenizer.ok());
    const std::string text = random_word(random, 12, 2);
    double best = -1e30, got = 0;
    best_cut(spec, text, 0, 0, best);
    for (const int32_t id : (*tokenizer)->encode(text)) got += spec.scores[id];
    EXPECT_EQ(got, best) << text;  // exact: scores are multiples of 1/64
    EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(text)), text);
  }
}

TEST(Unigram, UnknownCharactersAndByteFallback) {
  TokenizerSpec spec;
  spec.source = "test";
  spec.model = TokenizerModel::kUnigram;
  spec.tokens = {"<unk>", "a"};
  spec.scores = {0, -1};
  spec.types = {TokenType::kUnknown, TokenType::kNormal};
  spec.unk = 0;
  const auto plain = Tokenizer::create(spec);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ((*plain)->encode("a\u4e2d\u6587a"), (std::vector<int32_t>{1, 0, 1}));
  spec.byte_fallback = true;
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    spec.tokens.push_back(name);
    spec.scores.push_back(0);
    spec.types.push_back(TokenType::kByte);
  }
  const auto bytes = Tokenizer::create(spec);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ((*bytes)->encode("a\u4e2d\xFF"),
            (std::vector<int32_t>{1, 2 + 0xE4, 2 + 0xB8, 2 + 0xAD, 2 + 0xFF}));
  EXPECT_EQ((*bytes)->decode((*bytes)->encode("a\u4e2d\xFF"), {.replace_invalid = false}), "a\u4e2d\xFF");
}

}  // namespace
}  // namespace tern
