// SPDX-License-Identifier: MIT
// Steps: which logits come back, and that an error leaves every sequence as it was.
#include "runtime/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/score.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

using testing::HasSubstr;

constexpr int32_t kPoison = 5;  // a token whose embedding is infinite

std::vector<float> copy(const Result<std::span<const float>>& logits) {
  EXPECT_TRUE(logits.ok()) << logits.error().message;
  return logits.ok() ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
}

class RunnerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    TestModel model = random_model(*find_shape(GetParam()), 1);
    for (TestTensor& t : model.tensors) {
      if (t.name != "token_embd.weight") continue;
      t.read_values = [read = t.read_values, cols = t.cols](uint64_t begin, uint64_t count, float* out) {
        read(begin, count, out);
        for (uint64_t r = 0; r < count; ++r) {
          if (begin + r == kPoison) out[r * cols + 3] = std::numeric_limits<float>::infinity();
        }
      };
    }
    // A head of its own, or the poisoned row would poison every token's logits.
    model.shape.is_tied = false;
    if (find_shape(GetParam())->is_tied) {
      TestTensor head = random_model(*find_shape(GetParam()), 1).tensor("token_embd.weight");
      head.name = "output.weight";
      model.tensors.push_back(head);
    }
    ASSERT_TRUE(write_gguf(model, {}, folder_.file("m.gguf")).ok());
    auto runner = make_runner(folder_.file("m.gguf"), machine_,
                              {.context = 320, .max_rows = 100, .max_logit_rows = 20});
    ASSERT_TRUE(runner.ok()) << runner.error().message;
    runner_ = std::move(*runner);
    vocab_ = static_cast<size_t>(runner_->model().config().vocab_size);
  }
  /// Tokens without the poisoned one.
  std::vector<int32_t> text(size_t count, uint32_t seed) const {
    std::vector<int32_t> tokens = test_tokens(count, static_cast<int64_t>(vocab_), seed);
    std::replace(tokens.begin(), tokens.end(), kPoison, kPoison + 1);
    return tokens;
  }
  std::vector<float> logits_after(const std::vector<int32_t>& tokens) {
    Sequence s = runner_->new_sequence();
    return copy(runner_->feed(s, tokens));
  }

  TempFolder folder_;
  Machine machine_;
  std::unique_ptr<Runner> runner_;
  size_t vocab_ = 0;
};

TEST(DefaultKvType, DependsOnTheModelOnly) {
  Config config;
  config.num_layers = 30, config.num_kv_heads = 5, config.head_dim = 128, config.max_seq_len = 4096;
  EXPECT_EQ(default_kv_type(config), KvType::kF16);  // 629 MB in f32
  config.max_seq_len = 320;
  EXPECT_EQ(default_kv_type(config), KvType::kF32);  // 5 pages of 9.8 MB: 49 MB
  config.max_seq_len = 512;
  EXPECT_EQ(default_kv_type(config), KvType::kF16);  // 8 pages: 79 MB
}

TEST_P(RunnerTest, TwoForksOfOnePartialPageGrowInOneStepWithWhatIsFree) {
  Sequence a = runner_->new_sequence();
  ASSERT_TRUE(runner_->feed(a, text(30, 1)).ok());
  Sequence b = a.fork();
  Sequence rest = runner_->new_sequence();
  while (runner_->cache().free_pages() > 1) ASSERT_TRUE(runner_->feed(rest, text(64, 2)).ok());
  // One copy is enough: the other sequence may then write the page in place.
  const auto one = text(1, 3);
  const StepInput inputs[] = {{&a, one, LogitsWanted::kLast}, {&b, one, LogitsWanted::kLast}};
  const auto logits = copy(runner_->step(inputs));
  ASSERT_EQ(logits.size(), 2 * vocab_);
  EXPECT_EQ(std::vector<float>(logits.begin(), logits.begin() + static_cast<int64_t>(vocab_)),
            std::vector<float>(logits.begin() + static_cast<int64_t>(vocab_), logits.end()));
}

TEST_P(RunnerTest, LogitsComeBackForTheRowsThatWantThem) {
  const auto a = text(4, 1), b = text(3, 2), c = text(5, 3);
  Sequence sa = runner_->new_sequence(), sb = runner_->new_sequence(), sc = runner_->new_sequence();
  const StepInput inputs[] = {
      {&sa, a, LogitsWanted::kLast}, {&sb, b, LogitsWanted::kNone}, {&sc, c, LogitsWanted::kAll}};
  const auto logits = copy(runner_->step(inputs));
  ASSERT_EQ(logits.size(), (1 + 0 + 5) * vocab_);
  auto line = [&](size_t i) {
    return std::vector<float>(logits.begin() + static_cast<std::ptrdiff_t>(i * vocab_),
                              logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * vocab_));
  };
  EXPECT_EQ(line(0), logits_after(a));
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(line(1 + i), logits_after({c.begin(), c.begin() + static_cast<std::ptrdiff_t>(i + 1)}));
  EXPECT_EQ(sb.tokens(), b);
}

TEST_P(RunnerTest, ATokenOutsideTheVocabularyChangesNothing) {
  Sequence good = runner_->new_sequence(), bad = runner_->new_sequence();
  const auto tokens = text(10, 1);
  copy(runner_->feed(good, tokens));
  const int64_t free = runner_->cache().free_pages();
  for (const int32_t wrong : {-1, static_cast<int32_t>(vocab_), std::numeric_limits<int32_t>::max()}) {
    const std::vector<int32_t> with = {1, wrong};
    const StepInput inputs[] = {{&good, tokens, LogitsWanted::kLast}, {&bad, with, LogitsWanted::kLast}};
    const auto result = runner_->step(inputs);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kUsage);
    EXPECT_THAT(result.error().message,
                HasSubstr(fmt::format("token id {} is outside the vocabulary (0 to {})", wrong, vocab_ - 1)));
    EXPECT_EQ(good.tokens(), tokens);
    EXPECT_EQ(bad.length(), 0);
    EXPECT_EQ(runner_->cache().free_pages(), free);
  }
}

TEST_P(RunnerTest, AFullContextChangesNothing) {
  Sequence a = runner_->new_sequence(), b = runner_->new_sequence();
  const auto long_text = text(300, 1), more = text(30, 2);
  copy(runner_->feed(a, long_text));  // 5 pages of 5
  const StepInput both[] = {{&a, {more.data(), 10}, LogitsWanted::kLast}, {&b, more, LogitsWanted::kLast}};
  const auto result = runner_->step(both);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(result.error().message, HasSubstr("320 tokens fit"));
  EXPECT_EQ(a.tokens(), long_text);
  EXPECT_EQ(b.length(), 0);
  // It goes on where there is room, as if nothing had been tried.
  std::vector<int32_t> joined(long_text);
  joined.insert(joined.end(), more.begin(), more.begin() + 20);
  const auto found = copy(runner_->feed(a, {more.data(), 20}));
  a.truncate(0);
  EXPECT_EQ(found, logits_after(joined));
}

TEST_P(RunnerTest, ARowThatIsNotFiniteIsAnErrorAndLeavesNoTrace) {
  const auto past = text(66, 1), other = text(5, 2), next = text(4, 3);
  Sequence sick = runner_->new_sequence(), well = runner_->new_sequence();
  copy(runner_->feed(sick, past));
  copy(runner_->feed(well, other));
  const int64_t free = runner_->cache().free_pages();
  const std::vector<int32_t> poison = {1, kPoison, 2};
  const StepInput inputs[] = {{&well, next, LogitsWanted::kLast}, {&sick, poison, LogitsWanted::kLast}};
  const auto result = runner_->step(inputs);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNumeric);
  EXPECT_THAT(result.error().message, HasSubstr("position 67 is not finite"));
  EXPECT_EQ(sick.tokens(), past);
  EXPECT_EQ(well.tokens(), other);
  EXPECT_EQ(runner_->cache().free_pages(), free);
  // NaN stands in pages that were written for nothing; it must not be read again.
  std::vector<int32_t> joined = past;
  joined.insert(joined.end(), next.begin(), next.end());
  EXPECT_EQ(copy(runner_->feed(sick, next)), logits_after(joined));
  joined = other;
  joined.insert(joined.end(), next.begin(), next.end());
  EXPECT_EQ(copy(runner_->feed(well, next)), logits_after(joined));
}

TEST_P(RunnerTest, FeedCutsIntoChunksReportsAndCanBeCancelled) {
  const auto tokens = text(250, 1);
  Sequence s = runner_->new_sequence();
  std::vector<int64_t> reported;
  const auto whole = copy(runner_->feed(s, tokens, [&](int64_t done) { reported.push_back(done); }));
  EXPECT_EQ(reported, (std::vector<int64_t>{100, 200, 250}));
  s.truncate(0);

  std::atomic<bool> cancel = false;
  const auto stopped = runner_->feed(s, tokens, [&](int64_t done) { cancel = done >= 100; }, &cancel);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(s.length(), 100);
  EXPECT_EQ(copy(runner_->feed(s, std::span(tokens).subspan(100))), whole);
}

INSTANTIATE_TEST_SUITE_P(Shapes, RunnerTest, testing::Values("tiny", "llama-dense-tiny"),
                         [](const auto& info) {
                           return std::string(info.param) == "tiny" ? "ternary" : "dense";
                         });

// ---- score.h
// --------------------------------------------------------------------------------------------------------

TEST(Score, LogProbabilityEqualsLongDouble) {
  uint32_t state = 3;
  auto random = [&state] {
    return static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) / 16777216.0f;
  };
  for (const float spread : {0.001f, 1.0f, 20.0f, 3000.0f}) {
    std::vector<float> logits(700);
    for (float& x : logits) x = (random() - 0.5f) * spread;
    long double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<long double>(x));
    for (const int32_t token : {0, 123, 699}) {
      const auto expected =
          static_cast<double>(static_cast<long double>(logits[static_cast<size_t>(token)]) - std::log(sum));
      // The sum of 700 terms and two functions of 2 ulp each.
      EXPECT_NEAR(log_probability(logits, token), expected, 1e-12 * (1 + std::abs(expected)));
    }
  }
  EXPECT_EQ(log_probability(std::vector<float>{4}, 0), 0);
  EXPECT_EQ(log_probability(std::vector<float>{0, -std::numeric_limits<float>::infinity()}, 1),
            -std::numeric_limits<double>::infinity());
}

TEST_P(RunnerTest, ScoresAreThoseOfTheLogitsWindowByWindow) {
  const auto tokens = text(131, 7);
  for (const int64_t window : {50, 131}) {
    for (const int32_t first : {-1, 7}) {
      std::vector<double> expected;
      const size_t step = static_cast<size_t>(window) - (first >= 0 ? 1 : 0);
      for (size_t begin = 0; begin < tokens.size(); begin += step) {
        const size_t end = std::min(begin + step, tokens.size());
        std::vector<int32_t> fed;
        if (first >= 0) fed.push_back(first);
        for (size_t i = begin; i < end; ++i) {
          if (!fed.empty()) expected.push_back(-log_probability(logits_after(fed), tokens[i]));
          fed.push_back(tokens[i]);
        }
      }
      const auto score = score_tokens(*runner_, tokens, window, first);
      ASSERT_TRUE(score.ok()) << score.error().message;
      EXPECT_EQ(score->nll, expected) << window << " " << first;
      EXPECT_EQ(score->tokens, static_cast<int64_t>(expected.size()));
      double mean = 0;
      for (const double x : expected) mean += x / static_cast<double>(expected.size());
      EXPECT_NEAR(score->mean_nll, mean, 1e-12 * mean);
      EXPECT_NEAR(score->perplexity, std::exp(mean), 1e-10 * std::exp(mean));
      EXPECT_EQ(runner_->cache().free_pages(), runner_->cache().num_pages());
    }
  }
}

TEST_P(RunnerTest, ScoresOfNothingOrOfWrongTokensAreRefused) {
  auto message = [&](std::vector<int32_t> tokens, int64_t window) {
    const auto score = score_tokens(*runner_, tokens, window, -1);
    return score.ok() ? std::string() : score.error().message;
  };
  EXPECT_THAT(message({}, 10), HasSubstr("at least 2 tokens, found 0"));
  EXPECT_THAT(message({1}, 10), HasSubstr("at least 2 tokens, found 1"));
  EXPECT_THAT(message({1, 2}, 1), HasSubstr("expected 2 to the context of 320"));
  EXPECT_THAT(message({1, 2}, 321), HasSubstr("expected 2 to the context of 320"));
  EXPECT_THAT(message({1, 100000}, 10), HasSubstr("token id 100000"));
}

}  // namespace
}  // namespace tern::test
