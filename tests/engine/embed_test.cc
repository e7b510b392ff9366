// SPDX-License-Identifier: MIT
// Embeddings: of length 1, the same bits alone and in company, from the final norm's output of the EOS that
// is appended (its values: tests/scripts/arch_test.py), and refused for models that were not made for them.
#include "engine/embed.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/engine/engine_fixture.h"

namespace tern::test {
namespace {

using testing::HasSubstr;

class EmbedTest : public EngineTest {
 protected:
  void SetUp() override {
    const TestModel random = random_model(*find_shape("embedding-small"), 1);
    contents_ = gguf_contents(random, {});
    open();
  }
  void open() {
    const std::string path = folder_.file("embedding.gguf");
    ASSERT_TRUE(write_contents(contents_, path).ok());
    auto weights = Weights::open(path);
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    auto tokenizer = tokenizer_from_gguf((*weights)->gguf());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    tokenizer_ = *tokenizer;
    auto model = Model::load(*weights, machine_.backend(), {});
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = *model;
  }
  std::vector<Embedding> embed_all(Runner& runner, const std::vector<std::string>& texts) {
    auto found = embed(runner, *tokenizer_, texts);
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() ? std::move(*found) : std::vector<Embedding>();
  }
  std::string refusal(Runner& runner, const std::vector<std::string>& texts) {
    const auto found = embed(runner, *tokenizer_, texts);
    return found.ok() ? "" : found.error().message;
  }

  GgufContents contents_;
};

TEST_F(EmbedTest, IsTheNormalisedFinalNormOfTheAppendedEos) {
  const auto runner = new_runner(256);
  const auto found = embed_all(*runner, {"Hello"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].tokens, 6);  // five bytes and EOS
  ASSERT_EQ(found[0].values.size(), 256u);

  Sequence sequence = runner->new_sequence();
  std::vector<int32_t> tokens = tokenizer_->encode("Hello", {.add_eos = false});
  tokens.push_back(*tokenizer_->eos_id());
  const StepInput input{&sequence, tokens, LogitsWanted::kLast};
  const auto hidden = runner->step({&input, 1}, StepOutput::kHidden);
  ASSERT_TRUE(hidden.ok());
  double squares = 0, dot = 0, length = 0;
  for (size_t i = 0; i < 256; ++i) {
    squares += double{found[0].values[i]} * found[0].values[i];
    dot += double{found[0].values[i]} * (*hidden)[i];
    length += double{(*hidden)[i]} * (*hidden)[i];
  }
  EXPECT_NEAR(squares, 1, 256 * 0x1p-23);  // each value is rounded once
  EXPECT_NEAR(dot / std::sqrt(length), 1, 256 * 0x1p-23);
}

TEST_F(EmbedTest, GivesTheSameBitsAloneAndInCompanyAndInParts) {
  std::vector<std::string> texts = {
      "a", "", "The quick brown fox", std::string(150, 'x'), "b", std::string(300, 'y')};
  for (int i = 0; i < 20; ++i) texts.push_back("text " + std::to_string(i));
  const auto wide = new_runner(512, 512), narrow = new_runner(512, 32);
  size_t last_done = 0;
  EmbedParams params;
  params.on_progress = [&](size_t done, size_t total) {
    EXPECT_GT(done, last_done);
    EXPECT_EQ(total, texts.size());
    last_done = done;
  };
  auto together = embed(*wide, *tokenizer_, texts, params);
  ASSERT_TRUE(together.ok()) << together.error().message;
  EXPECT_EQ(last_done, texts.size());
  const auto in_parts = embed_all(*narrow, texts);
  ASSERT_EQ(together->size(), texts.size());
  ASSERT_EQ(in_parts.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto alone = embed_all(*wide, {texts[i]});
    ASSERT_EQ(alone.size(), 1u);
    EXPECT_EQ((*together)[i].values, alone[0].values) << i;
    EXPECT_EQ(in_parts[i].values, alone[0].values) << i;
    EXPECT_EQ((*together)[i].tokens, static_cast<int64_t>(texts[i].size()) + 1) << i;
  }
  EXPECT_NE((*together)[0].values, (*together)[4].values);
  EXPECT_EQ(wide->cache().free_pages(), wide->cache().num_pages());  // nothing is left behind
}

TEST_F(EmbedTest, RefusesWhatItCannotDo) {
  const auto runner = new_runner(128);
  EXPECT_THAT(refusal(*runner, {"fits", std::string(128, 'x')}),
              HasSubstr("text 2 has 129 tokens, the context holds 128"));
  std::atomic<bool> cancel = true;
  EmbedParams params;
  params.cancel = &cancel;
  const std::vector<std::string> one = {"a"};
  const auto stopped = embed(*runner, *tokenizer_, one, params);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);

  contents_.set("qwen3.pooling_type", uint32_t{1});
  open();
  EXPECT_THAT(refusal(*new_runner(128), one), HasSubstr("'qwen3.pooling_type' is 1 (mean)"));
}

TEST_F(EmbedTest, RefusesModelsThatWereNotMadeForIt) {
  EngineTest::SetUp();  // a BitNet model
  const std::vector<std::string> one = {"a"};
  EXPECT_THAT(refusal(*runner_, one), HasSubstr("'bitnet-b1.58.pooling_type' is missing"));
}

}  // namespace
}  // namespace tern::test
