// SPDX-License-Identifier: MIT
// The sampler: the generator against its published vectors, each transform on cases worked out by hand, the
// whole chain against a second implementation in long double, the distribution of the draws.
#include "runtime/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "runtime/random.h"

namespace tern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Everything off: the plain softmax.
SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

/// The tokens that occur in many draws.
std::vector<int32_t> support(const std::vector<float>& logits, const SamplingParams& p,
                             const std::vector<int32_t>& past = {}) {
  Sampler sampler;
  std::map<int32_t, int> seen;
  for (uint64_t position = 0; position < 4000; ++position) {
    const auto token = sampler.sample(logits, past, p, {0, position});
    EXPECT_TRUE(token.ok()) << token.error().message;
    if (!token.ok()) return {};
    ++seen[*token];
  }
  std::vector<int32_t> tokens;
  for (const auto& [token, count] : seen) tokens.push_back(token);
  return tokens;
}

int32_t greedy(const std::vector<float>& logits, SamplingParams p, const std::vector<int32_t>& past = {}) {
  p.temperature = 0;
  const auto token = Sampler().sample(logits, past, p, {});
  EXPECT_TRUE(token.ok()) << token.error().message;
  return token.ok() ? *token : -1;
}

std::string failure(const std::vector<float>& logits, const SamplingParams& p) {
  const auto token = Sampler().sample(logits, {}, p, {});
  return token.ok() ? "" : token.error().message;
}

// Known answers of Philox-4x32-10 published with Random123 (kat_vectors).
TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformIsAFunctionOfItsThreeArguments) {
  EXPECT_EQ(uniform_at(1, 2, 3), uniform_at(1, 2, 3));
  EXPECT_NE(uniform_at(1, 2, 3), uniform_at(2, 2, 3));
  EXPECT_NE(uniform_at(1, 2, 3), uniform_at(1, 3, 3));
  EXPECT_NE(uniform_at(1, 2, 3), uniform_at(1, 2, 4));
  EXPECT_NE(uniform_at(uint64_t{1} << 32, 0, 0), uniform_at(0, 0, 0));  // the high words count
  EXPECT_NE(uniform_at(0, 0, uint64_t{1} << 32), uniform_at(0, 0, 0));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = uniform_at(7, 0, i);
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 4 * std::sqrt(1.0 / 12 / 10000));  // four standard errors
}

TEST(Greedy, TiesGoToTheLowerIdAndNanIsSeen) {
  EXPECT_EQ(greedy_token(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(greedy_token(std::vector<float>{-0.0f, 0.0f}), 0);
  EXPECT_EQ(greedy_token(std::vector<float>{-kInfinity, -5}), 1);
  EXPECT_EQ(greedy_token(std::vector<float>{1, kNan, 3}), -1);
  EXPECT_EQ(greedy({1, 3, 3, 2}, plain()), 1);
}

TEST(Sampler, ParametersHaveRanges) {
  EXPECT_TRUE(SamplingParams().check().ok());
  auto message = [](auto change) {
    SamplingParams p;
    change(p);
    const Status status = p.check();
    return status.ok() ? std::string() : status.error().message;
  };
  using testing::HasSubstr;
  EXPECT_THAT(message([](auto& p) { p.temperature = -0.1f; }), HasSubstr("temperature is -0.1"));
  EXPECT_THAT(message([](auto& p) { p.temperature = kNan; }), HasSubstr("temperature is nan"));
  EXPECT_THAT(message([](auto& p) { p.top_k = -1; }), HasSubstr("top-k is -1"));
  EXPECT_THAT(message([](auto& p) { p.top_p = 1.5f; }), HasSubstr("top-p is 1.5"));
  EXPECT_THAT(message([](auto& p) { p.min_p = -1; }), HasSubstr("min-p is -1"));
  EXPECT_THAT(message([](auto& p) { p.repetition_penalty = 0; }), HasSubstr("repetition penalty is 0"));
  EXPECT_THAT(message([](auto& p) { p.presence_penalty = kNan; }), HasSubstr("presence penalty is nan"));
  EXPECT_THAT(message([](auto& p) { p.frequency_penalty = kInfinity; }),
              HasSubstr("frequency penalty is inf"));
  EXPECT_THAT(message([](auto& p) { p.repeat_last_n = -2; }), HasSubstr("repeat-last-n is -2"));
  EXPECT_THAT(message([](auto& p) { p.logit_bias = {{3, kInfinity}}; }), HasSubstr("token 3 is inf"));
  EXPECT_THAT(message([](auto& p) { p.logit_bias = {{3, kNan}}; }), HasSubstr("token 3 is nan"));
  EXPECT_EQ(message([](auto& p) { p.logit_bias = {{3, -kInfinity}}; }), "");
}

TEST(Sampler, TopKKeepsTheLargestAndTheLowerIdsAmongEquals) {
  SamplingParams p = plain();
  p.top_k = 2;
  EXPECT_EQ(support({1, 2, 0, 2, 2}, p), (std::vector<int32_t>{1, 3}));
  p.top_k = 3;
  EXPECT_EQ(support({1, 2, 0, 2, 2}, p), (std::vector<int32_t>{1, 3, 4}));
  p.top_k = 100;
  EXPECT_EQ(support({1, 2, 0, 2, 2}, p), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  p.top_k = 1;
  EXPECT_EQ(support({1, 2, 0, 2, 2}, p), (std::vector<int32_t>{1}));
}

TEST(Sampler, TopPKeepsTheSmallestSetWithThatShare) {
  // Four equal logits: shares of exactly a quarter each (equal relative weights of 1).
  const std::vector<float> equal = {2, 2, 2, 2};
  SamplingParams p = plain();
  for (const auto& [share, kept] :
       {std::pair{0.0f, 1}, {0.25f, 1}, {0.26f, 2}, {0.5f, 2}, {0.75f, 3}, {0.76f, 4}}) {
    p.top_p = share;
    EXPECT_EQ(support(equal, p).size(), static_cast<size_t>(kept)) << share;
  }
  // 0.665, 0.245, 0.090 for 2, 1, 0.
  p.top_p = 0.6f;
  EXPECT_EQ(support({0, 2, 1}, p), (std::vector<int32_t>{1}));
  p.top_p = 0.7f;
  EXPECT_EQ(support({0, 2, 1}, p), (std::vector<int32_t>{1, 2}));
  p.top_p = 0.95f;
  EXPECT_EQ(support({0, 2, 1}, p), (std::vector<int32_t>{0, 1, 2}));
  // The share is taken of what top-k left: of 2 and 1 alone, 0.731 and 0.269.
  p.top_k = 2;
  p.top_p = 0.72f;
  EXPECT_EQ(support({0, 2, 1}, p), (std::vector<int32_t>{1}));
}

TEST(Sampler, TopPOverALargeVocabularyEqualsTheFullSort) {
  // More kept tokens than the first partial sort covers (256).
  std::vector<float> logits(3000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 1237) % 3000) * 1e-4f;
  SamplingParams p = plain();
  p.top_p = 0.5f;
  Sampler sampler;
  int32_t lowest = 3000;
  for (uint64_t position = 0; position < 4000; ++position) {
    lowest = std::min(lowest, (*sampler.sample(logits, {}, p, {0, position}) * 1237) % 3000);
  }
  // With weights e^(1e-4 r), r < 3000, the upper part with half of the mass starts at r = 1612 (solve the
  // geometric sum).
  EXPECT_GE(lowest, 1612);
  EXPECT_LE(lowest, 1622);
}

TEST(Sampler, MinPDropsWhatIsFarBelowTheBest) {
  SamplingParams p = plain();
  const std::vector<float> logits = {0, -1, -2, -3};  // relative 1, 0.368, 0.135, 0.0498
  p.min_p = 0.05f;
  EXPECT_EQ(support(logits, p), (std::vector<int32_t>{0, 1, 2}));
  p.min_p = 0.2f;
  EXPECT_EQ(support(logits, p), (std::vector<int32_t>{0, 1}));
  p.min_p = 1;
  EXPECT_EQ(support(logits, p), (std::vector<int32_t>{0}));
  p.temperature = 3;  // the cut is taken before temperature
  p.min_p = 0.2f;
  EXPECT_EQ(support(logits, p), (std::vector<int32_t>{0, 1}));
}

TEST(Sampler, BiasIsAddedFirst) {
  SamplingParams p = plain();
  p.logit_bias = {{0, 5}, {2, -kInfinity}};
  EXPECT_EQ(greedy({1, 2, 9, 3}, p), 0);
  EXPECT_EQ(support({1, 1, 9, 1}, p), (std::vector<int32_t>{0, 1, 3}));
  p.logit_bias = {{0, -kInfinity}, {1, -kInfinity}};
  EXPECT_THAT(failure({1, 2}, p), testing::HasSubstr("every token is forbidden"));
  p.logit_bias = {{2, 1}};
  EXPECT_THAT(failure({1, 2}, p), testing::HasSubstr("token 2, outside the vocabulary of 2"));
}

TEST(Sampler, LogitsThatAreNotFiniteAreRefused) {
  EXPECT_THAT(failure({1, kNan}, plain()), testing::HasSubstr("not finite"));
  EXPECT_THAT(failure({1, kInfinity}, plain()), testing::HasSubstr("not finite"));
  EXPECT_EQ(support({1, -kInfinity}, plain()), (std::vector<int32_t>{0}));  // a forbidden token, not an error
  // Finite biases can overflow together, and then meet -infinity.
  const float huge = std::numeric_limits<float>::max();
  SamplingParams p = plain();
  p.logit_bias = {{0, huge}, {0, huge}};
  EXPECT_NE(failure({1, 2}, p), "");
  p.logit_bias = {{0, huge}, {0, huge}, {0, -kInfinity}};
  EXPECT_NE(failure({1, 2}, p), "");
}

TEST(Sampler, PenaltiesLookAtTheLastTokens) {
  SamplingParams p = plain();
  p.repetition_penalty = 2;
  EXPECT_EQ(greedy({4, 3, -1, -1.5f}, p, {0}), 1);  // 4 / 2 = 2 < 3
  EXPECT_EQ(greedy({-1, -1.5f}, p, {0}), 1);        // -1 * 2 = -2 < -1.5
  EXPECT_EQ(greedy({4, 3}, p, {0, 0, 0}), 1);       // once, however often it was seen
  EXPECT_EQ(greedy({8, 3}, p, {0, 0, 0}), 0);       // 8 / 2 = 4
  p.repeat_last_n = 2;
  EXPECT_EQ(greedy({4, 3, 0}, p, {0, 2, 2}), 0);  // 0 is out of sight
  p.repeat_last_n = 0;
  EXPECT_EQ(greedy({4, 3}, p, {0}), 0);
  p.repeat_last_n = -1;
  EXPECT_EQ(greedy({4, 3, 0}, p, {0, 2, 2}), 1);

  p = plain();
  p.presence_penalty = 1.5f;
  EXPECT_EQ(greedy({4, 3}, p, {0, 0, 0}), 1);  // 4 - 1.5
  EXPECT_EQ(greedy({5, 3}, p, {0, 0, 0}), 0);  // 5 - 1.5, once
  p = plain();
  p.frequency_penalty = 1;
  EXPECT_EQ(greedy({5, 3.5f}, p, {0}), 0);     // 5 - 1
  EXPECT_EQ(greedy({5, 3.5f}, p, {0, 0}), 1);  // 5 - 2
  p.repetition_penalty = 2;
  p.presence_penalty = -3;
  EXPECT_EQ(greedy({4, 3.5f}, p, {0, 0}), 1);  // 4/2 + 3 - 2 = 3
}

TEST(Sampler, DrawsHaveTheSoftmaxDistribution) {
  const std::vector<float> logits = {0.3f, -1.2f, 2.0f, 0.9f, -0.4f, 1.1f, 0.0f, -2.0f};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplingParams p = plain();
    p.temperature = temperature;
    p.seed = 42;
    std::vector<double> expected;
    double total = 0;
    for (const float x : logits) total += expected.emplace_back(std::exp(double{x} / temperature));
    constexpr int kDraws = 40000;
    std::vector<int> counts(logits.size());
    Sampler sampler;
    for (uint64_t i = 0; i < kDraws; ++i)
      ++counts[static_cast<size_t>(*sampler.sample(logits, {}, p, {0, i}))];
    double chi_square = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double mean = kDraws * expected[i] / total;
      chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
    }
    EXPECT_LT(chi_square, 24.3) << temperature;  // 7 degrees of freedom, p = 0.001; the seed is fixed
  }
}

TEST(Sampler, ATokenDependsOnItsPlaceAndNotOnWhatWasDrawnBefore) {
  std::vector<float> logits(500);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i));
  SamplingParams p;
  p.seed = 9;
  std::vector<int32_t> forwards, backwards;
  Sampler one;
  for (uint64_t i = 0; i < 100; ++i) forwards.push_back(*one.sample(logits, {}, p, {1, i}));
  for (uint64_t i = 100; i-- > 0;) {
    Sampler fresh;
    backwards.push_back(*fresh.sample(logits, {}, p, {1, i}));
    one.sample(std::vector<float>(7, 1.0f), {}, p, {0, i}).ok();  // other use in between
  }
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(forwards, backwards);
  auto text = [&](uint64_t seed, uint32_t choice) {
    std::vector<int32_t> tokens;
    p.seed = seed;
    for (uint64_t i = 0; i < 100; ++i) tokens.push_back(*one.sample(logits, {}, p, {choice, i}));
    return tokens;
  };
  EXPECT_EQ(text(9, 1), forwards);
  EXPECT_NE(text(10, 1), forwards);
  EXPECT_NE(text(9, 2), forwards);
}

/// The chain again, by a full sort and in long double.
int32_t second_opinion(const std::vector<float>& logits, const SamplingParams& p, const SamplePlace& place) {
  std::vector<std::pair<float, int32_t>> kept;
  for (size_t i = 0; i < logits.size(); ++i) kept.emplace_back(logits[i], static_cast<int32_t>(i));
  if (p.top_k > 0 || p.top_p < 1) {  // otherwise the draw goes through the tokens in the order of their ids
    std::sort(kept.begin(), kept.end(),
              [](auto& a, auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  }
  if (p.top_k > 0) kept.resize(std::min(kept.size(), static_cast<size_t>(p.top_k)));
  const float best = *std::max_element(logits.begin(), logits.end());
  auto relative = [best](float x, long double t) {
    return std::exp((static_cast<long double>(x) - best) / t);
  };
  if (p.top_p < 1) {
    long double total = 0, mass = 0;
    for (const auto& [x, token] : kept) total += relative(x, 1);
    size_t count = 0;
    while (count < kept.size() && (count == 0 || mass < static_cast<long double>(p.top_p) * total)) {
      mass += relative(kept[count++].first, 1);
    }
    kept.resize(count);
  }
  std::erase_if(kept,
                [&](const auto& c) { return relative(c.first, 1) < static_cast<long double>(p.min_p); });
  long double total = 0, mass = 0;
  for (const auto& [x, token] : kept) total += relative(x, p.temperature);
  const long double target = uniform_at(p.seed, place.choice, place.position) * total;
  for (const auto& [x, token] : kept) {
    mass += relative(x, p.temperature);
    if (target < mass) return token;
  }
  return kept.back().second;
}

TEST(Sampler, TheChainEqualsASecondImplementation) {
  // A draw within 1e-7 of a border could differ for float error; with fixed seeds none of these does.
  uint32_t state = 1;
  auto random = [&state] { return (state = state * 1664525u + 1013904223u) >> 8; };
  Sampler sampler;
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> logits(1 + random() % 700);
    for (float& x : logits) x = static_cast<float>(random() % 20001) / 1000 - 10;
    SamplingParams p;
    p.temperature = 0.1f + static_cast<float>(random() % 30) / 10;
    p.top_k = std::array<int32_t, 4>{0, 2, 40, 400}[random() % 4];
    p.top_p = std::array<float, 4>{1, 0.95f, 0.5f, 0.01f}[random() % 4];
    p.min_p = std::array<float, 3>{0, 0.05f, 0.3f}[random() % 3];
    p.seed = random();
    const SamplePlace place{random() % 3, random()};
    const auto token = sampler.sample(logits, {}, p, place);
    ASSERT_TRUE(token.ok()) << token.error().message;
    ASSERT_EQ(*token, second_opinion(logits, p, place)) << "round " << round;
  }
}

TEST(Sampler, APastOutsideTheVocabularyIsRefusedWherePenaltiesReadIt) {
  const std::vector<float> logits(8, 1.0f);
  SamplingParams p;
  Sampler sampler;
  for (const int32_t token : {-1, 8, 1 << 30}) {
    const std::vector<int32_t> past = {3, token};
    EXPECT_TRUE(sampler.sample(logits, past, p, {}).ok()) << token;
    p.presence_penalty = 1;
    EXPECT_EQ(sampler.sample(logits, past, p, {}).error().code, ErrorCode::kUsage) << token;
    p.presence_penalty = 0;
  }
}

}  // namespace
}  // namespace tern
