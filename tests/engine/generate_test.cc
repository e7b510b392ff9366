// SPDX-License-Identifier: MIT
// generate() and generate_text(): what is kept of the cache, what ends an answer, what text comes out.
#include "engine/generate_text.h"
#include "tests/engine/engine_fixture.h"

namespace tern::test {
namespace {

using GenerateTest = EngineTest;

GenerateParams greedy(int64_t tokens) {
  GenerateParams params;
  params.sampling.temperature = 0;
  params.max_tokens = tokens;
  return params;
}

TEST_F(GenerateTest, GivesTheSameTokensInAnyChunkingAndAgain) {
  const std::vector<int32_t> prompt = tokenizer_->encode("A prompt of some length, to be cut in pieces.");
  Sequence first = runner_->new_sequence();
  const auto expected = generate(*runner_, first, prompt, greedy(40)).value().tokens;
  ASSERT_EQ(expected.size(), 40u);
  for (const int64_t chunk : {1, 3, 7, 64}) {
    const auto runner = new_runner(512, chunk);
    Sequence sequence = runner->new_sequence();
    EXPECT_EQ(generate(*runner, sequence, prompt, greedy(40)).value().tokens, expected) << "chunk " << chunk;
  }
  // Asked again on the used sequence: only the last prompt token is fed anew.
  const auto again = generate(*runner_, first, prompt, greedy(40)).value();
  EXPECT_EQ(again.tokens, expected);
  EXPECT_EQ(again.timings.cached_tokens, static_cast<int64_t>(prompt.size()) - 1);
  EXPECT_EQ(again.timings.prompt_tokens, 1);
}

TEST_F(GenerateTest, KeepsTheCommonPrefixAndNothingElse) {
  const std::vector<int32_t> one = tokenizer_->encode("The same start, then this"),
                             two = tokenizer_->encode("The same start, but that");
  Sequence fresh = runner_->new_sequence(), used = runner_->new_sequence();
  const auto expected = generate(*runner_, fresh, two, greedy(20)).value().tokens;
  ASSERT_TRUE(generate(*runner_, used, one, greedy(20)).ok());
  const auto reused = generate(*runner_, used, two, greedy(20)).value();
  EXPECT_EQ(reused.tokens, expected);
  EXPECT_GT(reused.timings.cached_tokens, 10);
}

TEST_F(GenerateTest, EndsForTheReasonItSays) {
  const std::vector<int32_t> prompt = tokenizer_->encode("Once");
  Sequence sequence = runner_->new_sequence();
  const auto full = generate(*runner_, sequence, prompt, greedy(10)).value();
  EXPECT_EQ(full.finish, FinishReason::kLength);

  GenerateParams params = greedy(10);
  params.stop_ids = {full.tokens[3]};
  const auto stopped = generate(*runner_, sequence, prompt, params).value();
  EXPECT_EQ(stopped.finish, FinishReason::kStop);
  const size_t first = static_cast<size_t>(std::find(full.tokens.begin(), full.tokens.end(), full.tokens[3]) -
                                           full.tokens.begin());
  EXPECT_EQ(stopped.tokens,
            std::vector<int32_t>(full.tokens.begin(), full.tokens.begin() + static_cast<int64_t>(first)));

  params = greedy(10);
  std::atomic<bool> cancel{false};
  params.cancel = &cancel;
  params.on_token = [&](int32_t) {
    cancel = true;
    return true;
  };
  const auto cancelled = generate(*runner_, sequence, prompt, params).value();
  EXPECT_EQ(cancelled.finish, FinishReason::kCancelled);
  EXPECT_EQ(cancelled.tokens.size(), 1u);

  const auto small = new_runner(16);
  Sequence short_sequence = small->new_sequence();
  const auto context = generate(*small, short_sequence, prompt, greedy(-1)).value();
  EXPECT_EQ(context.finish, FinishReason::kContextFull);
  // 16 positions hold prompt and answer but for the last sampled token, which is never fed.
  EXPECT_EQ(context.tokens.size(), 16 - prompt.size() + 1);
}

TEST_F(GenerateTest, RefusesPromptsThatCannotBe) {
  Sequence sequence = runner_->new_sequence();
  EXPECT_EQ(generate(*runner_, sequence, {}, greedy(1)).error().code, ErrorCode::kUsage);
  const std::vector<int32_t> outside = {1, 100000};
  EXPECT_EQ(generate(*runner_, sequence, outside, greedy(1)).error().code, ErrorCode::kUsage);
  const std::vector<int32_t> long_prompt(513, 65);
  EXPECT_EQ(generate(*runner_, sequence, long_prompt, greedy(1)).error().code, ErrorCode::kOutOfMemory);
  GenerateParams params = greedy(1);
  params.sampling.top_p = 2;
  const std::vector<int32_t> prompt = {65};
  EXPECT_EQ(generate(*runner_, sequence, prompt, params).error().code, ErrorCode::kUsage);
}

TEST_F(GenerateTest, TextEqualsTheTokensAndStopStringsNeverShow) {
  const std::vector<int32_t> prompt = tokenizer_->encode("Say");
  Sequence sequence = runner_->new_sequence();
  TextParams params;
  params.generate.sampling.seed = 5;  // sampled, so that the text is not one repeated letter
  params.generate.max_tokens = 60;
  params.ignore_end = true;
  std::string streamed;
  params.on_piece = [&](int32_t, std::string_view part) {
    streamed += part;
    return true;
  };
  const auto whole = generate_text(*runner_, sequence, tokenizer_, prompt, params).value();
  EXPECT_EQ(streamed, whole.text);
  EXPECT_EQ(whole.text, tokenizer_->decode(whole.raw.tokens, {.at_text_start = false}));
  ASSERT_GT(whole.text.size(), 20u);

  params.stops = {whole.text.substr(7, 3)};
  streamed.clear();
  const auto stopped = generate_text(*runner_, sequence, tokenizer_, prompt, params).value();
  EXPECT_EQ(stopped.raw.finish, FinishReason::kStop);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(params.stops[0])));
  EXPECT_EQ(streamed, stopped.text);

  params.stops = {""};
  EXPECT_EQ(generate_text(*runner_, sequence, tokenizer_, prompt, params).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace tern::test
