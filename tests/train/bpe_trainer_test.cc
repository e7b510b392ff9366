// SPDX-License-Identifier: MIT
// The trainer against its definition (count everything again for every merge), on random texts; any bytes
// round trip through the tokenizer.json it writes.
#include "train/bpe_trainer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace tern::train {
namespace {

using Words = std::map<std::vector<int32_t>, int64_t>;

class Pieces final : public PieceSink {
 public:
  void piece(std::string_view text) override { list.emplace_back(text); }
  std::vector<std::string> list;
};

std::vector<std::string> pieces_of(const std::string& text, const char* pre) {
  auto cutter = PreTokenizer::create(pre_recipe(pre)->steps, UnicodeVersion::k16);
  Pieces pieces;
  cutter->split(text, pieces);
  return pieces.list;
}

std::vector<int32_t> merged(const std::vector<int32_t>& ids, std::pair<int32_t, int32_t> pair, int32_t id) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool here = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
    out.push_back(here ? id : ids[i]);
    i += here;
  }
  return out;
}

// Training as bpe_trainer.h defines it, slowly.
BpeVocabulary naive_train(const std::vector<std::string>& texts, int32_t vocab_size,
                          const std::vector<std::string>& special) {
  BpeVocabulary v;
  v.pre = "gpt-2";
  v.special = static_cast<int32_t>(special.size());
  v.tokens = special;
  for (int b = 0; b < 256; ++b) v.tokens.emplace_back(1, static_cast<char>(b));
  Words words;
  for (const std::string& text : texts) {
    for (const std::string& piece : pieces_of(text, "gpt-2")) {
      std::vector<int32_t> ids;
      for (const char c : piece) ids.push_back(v.special + static_cast<uint8_t>(c));
      ++words[ids];
    }
  }
  while (static_cast<int32_t>(v.tokens.size()) < vocab_size) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& [ids, count] : words) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) counts[{ids[i], ids[i + 1]}] += count;
    }
    std::pair<int32_t, int32_t> best;
    int64_t most = 1;
    for (const auto& [pair, count] : counts) {  // ascending: the lowest of equal ones stays
      if (count > most) {
        most = count;
        best = pair;
      }
    }
    if (most == 1) break;
    const std::string bytes = v.tokens[best.first] + v.tokens[best.second];
    const auto known = std::find(v.tokens.begin() + v.special, v.tokens.end(), bytes);
    const auto id = static_cast<int32_t>(known - v.tokens.begin());
    if (known == v.tokens.end()) v.tokens.push_back(bytes);
    v.merges.push_back(best);
    Words next;
    for (const auto& [ids, count] : words) next[merged(ids, best, id)] += count;
    words = std::move(next);
  }
  return v;
}

std::string random_text(std::mt19937& random, size_t words, int letters) {
  std::string text;
  for (size_t w = 0; w < words; ++w) {
    text += random() % 8 == 0 ? "\n" : " ";
    for (size_t n = 1 + random() % 7; n > 0; --n) text += static_cast<char>('a' + random() % letters);
    if (random() % 5 == 0) text += ",.!?\"0123"[random() % 9];
  }
  return text;
}

BpeVocabulary train(const std::vector<std::string>& texts, int32_t size, std::vector<std::string> special) {
  auto trainer = BpeTrainer::create("gpt-2");
  for (const std::string& text : texts) trainer->add(text);
  auto vocabulary = trainer->train(size, std::move(special));
  EXPECT_TRUE(vocabulary.ok());
  return std::move(*vocabulary);
}

TEST(BpeTrainer, EqualsTheDefinition) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    // Few letters give runs (aaaa), ties and tokens that two merges make.
    const int letters = 1 + static_cast<int>(random() % 6);
    std::vector<std::string> texts;
    for (int i = 0; i < 3; ++i) texts.push_back(random_text(random, 5 + random() % 60, letters));
    const int32_t size = 258 + static_cast<int32_t>(random() % 120);
    const BpeVocabulary fast = train(texts, size, {"<|a|>", "<|b|>"}),
                        slow = naive_train(texts, size, {"<|a|>", "<|b|>"});
    EXPECT_EQ(fast.merges, slow.merges) << "round " << round;
    EXPECT_EQ(fast.tokens, slow.tokens) << "round " << round;
  }
}

TEST(BpeTrainer, TimesIsTheSameAsRepeating) {
  std::mt19937 random(3);
  const std::string a = random_text(random, 50, 4), b = random_text(random, 50, 4);
  auto once = BpeTrainer::create("gpt-2"), repeated = BpeTrainer::create("gpt-2");
  once->add(a);
  once->add(b, 3);
  for (const std::string& text : {b, a, b, b}) repeated->add(text);
  EXPECT_EQ(once->train(320, {})->merges, repeated->train(320, {})->merges);
}

TEST(BpeTrainer, AnyBytesRoundTrip) {
  std::mt19937 random(9);
  for (const char* pre : {"gpt-2", "llama-bpe"}) {
    auto trainer = BpeTrainer::create(pre);
    std::string text = random_text(random, 300, 6);
    text += " \"quotes\\ \" \xC3\xA9t\xC3\xA9 \xC3\xA9t\xC3\xA9 tab\t tab\t ";
    trainer->add(text);
    const auto v = trainer->train(400, {"<|endoftext|>", "<|im_start|>", "<|im_end|>"});
    ASSERT_TRUE(v.ok());
    auto spec = parse_tokenizer_json(tokenizer_json(*v));
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(spec->tokens, v->tokens);
    EXPECT_EQ(spec->merges, v->merges);
    EXPECT_EQ(spec->types[1], TokenType::kControl);
    EXPECT_EQ(spec->types[3], TokenType::kNormal);
    EXPECT_EQ(spec->ignore_merges, std::string(pre) == "llama-bpe");
    const auto tokenizer = Tokenizer::create(*spec);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    for (int round = 0; round < 200; ++round) {
      std::string bytes;
      for (size_t n = random() % 40; n > 0; --n) {
        bytes += static_cast<char>(round % 2 == 0 ? random() % 256 : text[random() % text.size()]);
      }
      const auto ids = (*tokenizer)->encode(bytes, {.add_bos = false, .add_eos = false});
      EXPECT_EQ((*tokenizer)->decode(ids, {.replace_invalid = false}), bytes);
    }
    // The pieces in the file are cut as they were counted.
    EXPECT_EQ(spec->pre_tokenizer.size() > 0, true);
    const auto ids = (*tokenizer)->encode("<|im_start|>", {.add_bos = false});
    EXPECT_GT(ids.size(), 1u) << "marks in plain text are not marks";
    EXPECT_EQ((*tokenizer)->encode("<|im_start|>", {.parse_special = true, .add_bos = false}),
              std::vector<int32_t>{1});
  }
}

TEST(BpeTrainer, ACutIsTheSameAsTheTokenizers) {
  std::mt19937 random(21);
  for (const char* pre : {"gpt-2", "llama-bpe"}) {
    auto trainer = BpeTrainer::create(pre);
    trainer->add("a");
    const auto spec = parse_tokenizer_json(tokenizer_json(*trainer->train(256, {})));
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    const auto cutter = PreTokenizer::create(spec->pre_tokenizer, UnicodeVersion::k16);
    ASSERT_TRUE(cutter.ok());
    for (int round = 0; round < 100; ++round) {
      std::string text;
      for (size_t n = random() % 60; n > 0; --n) text += "aZ 'sll\n\r\t12345.,!-"[random() % 19];
      Pieces pieces;
      cutter->split(text, pieces);
      EXPECT_EQ(pieces.list, pieces_of(text, pre)) << pre << " " << text;
    }
  }
}

TEST(BpeTrainer, TextThatSpellsASpecialTokenDoesNotBecomeIt) {
  auto trainer = BpeTrainer::create("gpt-2");
  trainer->add("abab abab abab abab abab");
  const auto v = trainer->train(300, {"abab"});
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(std::count(v->tokens.begin(), v->tokens.end(), "abab"), 1);
  EXPECT_TRUE(Tokenizer::create(*parse_tokenizer_json(tokenizer_json(*v))).ok());
}

TEST(BpeTrainer, WrongArgumentsAreRefused) {
  EXPECT_FALSE(BpeTrainer::create("qwen2").ok());
  const auto trainer = BpeTrainer::create("gpt-2");
  EXPECT_FALSE(trainer->train(255, {}).ok());
  EXPECT_FALSE(trainer->train(257, {"a", "b"}).ok());
  EXPECT_FALSE(trainer->train(1'000'001, {}).ok());
  EXPECT_FALSE(trainer->train(300, {"<|x|>", "<|x|>"}).ok());
  EXPECT_FALSE(trainer->train(300, {"a"}).ok());
  EXPECT_EQ(trainer->train(300, {})->tokens.size(), 256u) << "no text, no merges";
}

}  // namespace
}  // namespace tern::train
