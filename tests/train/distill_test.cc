// SPDX-License-Identifier: MIT
// Distillation's part without torch: teacher files that survive interruption, logits collected in packed
// steps equal those of one sequence at a time, acceptance counts equal a simulated speculative loop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/float16.h"
#include "runtime/score.h"
#include "tests/tools/test_machine.h"
#include "tests/train/temporary_folder.h"
#include "train/acceptance.h"
#include "train/collect.h"
#include "train/token_file.h"

namespace tern::train {
namespace {

using test::TemporaryFolder;
using ::testing::HasSubstr;

TEST(TopLogProbs, EqualASortedSoftmax) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 100; ++round) {
    std::vector<float> logits(2 + random() % 300);
    for (float& x : logits) x = round % 2 == 0 ? normal(random) : static_cast<float>(random() % 3);  // ties
    const size_t k = 1 + random() % std::min<size_t>(logits.size(), 20);
    std::vector<uint32_t> ids(k), order(logits.size());
    std::vector<uint16_t> log_probs(k);
    top_log_probs(logits, ids, log_probs);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    EXPECT_TRUE(std::equal(ids.begin(), ids.end(), order.begin()));
    for (size_t i = 0; i < k; ++i) {
      const double exact = log_probability(logits, static_cast<int32_t>(ids[i]));
      // f16 has 11 significant bits; the sum of f32 exponentials adds a few 1e-7.
      EXPECT_NEAR(f16_to_f32(log_probs[i]), exact, 1e-6 + std::fabs(exact) * 0x1p-11);
    }
  }
}

TeacherRow random_row(const TeacherHeader& header, std::mt19937& random) {
  TeacherRow row;
  for (size_t i = 0; i < header.entries(); ++i) {
    row.ids.push_back(random() % header.vocab_size);
    row.log_probs.push_back(f32_to_f16(-static_cast<float>(random() % 1000) / 64));
  }
  return row;
}

TEST(TeacherFile, ContinuesAfterAnyInterruption) {
  const TemporaryFolder folder;
  const TeacherHeader header{7, 8, 100, 3, 5};
  std::vector<TeacherRow> rows;
  std::mt19937 random(1);
  for (int i = 0; i < 4; ++i) rows.push_back(random_row(header, random));
  const auto write = [&](const std::string& path) {
    auto writer = TeacherWriter::open(path, header);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    while (writer->rows() < 4) ASSERT_TRUE(writer->append(rows[static_cast<size_t>(writer->rows())]).ok());
    ASSERT_TRUE(writer->sync().ok());
  };
  const std::string path = folder / "whole.bin";
  write(path);
  const std::string whole = TemporaryFolder::read(path);
  for (size_t size = 0; size <= whole.size(); size += 13) {
    const std::string cut = folder.write("cut.bin", whole.substr(0, size));
    write(cut);
    EXPECT_EQ(TemporaryFolder::read(cut), whole) << size;
  }
  // Power loss may leave a whole but wrong last row.
  std::string torn = whole;
  torn[torn.size() - 20] ^= 1;
  write(folder.write("torn.bin", torn));
  EXPECT_EQ(TemporaryFolder::read(folder / "torn.bin"), whole);

  const auto file = TeacherFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ((*file)->rows(), 4);
  std::vector<int32_t> ids(15);
  std::vector<float> log_probs(15);
  for (int64_t r = 0; r < 4; ++r) {
    (*file)->read(r, ids, log_probs);
    for (size_t i = 0; i < 15; ++i) {
      EXPECT_EQ(static_cast<uint32_t>(ids[i]), rows[static_cast<size_t>(r)].ids[i]);
      EXPECT_EQ(log_probs[i], f16_to_f32(rows[static_cast<size_t>(r)].log_probs[i]));
    }
  }
}

TEST(TeacherFile, OthersAndDamageAreRefused) {
  const TemporaryFolder folder;
  const TeacherHeader header{7, 8, 100, 3, 5};
  std::mt19937 random(1);
  const std::string path = folder / "t.bin";
  {
    auto writer = TeacherWriter::open(path, header);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(writer->append(random_row(header, random)).ok());
  }
  for (const TeacherHeader& other :
       {TeacherHeader{6, 8, 100, 3, 5}, TeacherHeader{7, 9, 100, 3, 5}, TeacherHeader{7, 8, 100, 4, 5}}) {
    const auto writer = TeacherWriter::open(path, other);
    ASSERT_FALSE(writer.ok());
    EXPECT_EQ(writer.error().code, ErrorCode::kUsage);
  }
  const std::string bytes = TemporaryFolder::read(path);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_FALSE(TeacherFile::open(folder.write("d.bin", damaged)).ok()) << i;
  }
  EXPECT_FALSE(TeacherFile::open(folder.write("d.bin", bytes.substr(0, 48))).ok()) << "no row yet";
  EXPECT_FALSE(TeacherFile::open(folder.write("d.bin", "")).ok());
}

// A small model with random weights, and rows of a data set in its vocabulary.
class DistillTest : public testing::Test {
 protected:
  void SetUp() override {
    const test::ModelShape shape = *test::find_shape("tiny");
    for (const uint64_t seed : {1, 2}) {
      const std::string path = folder_ / fmt::format("{}.gguf", seed);
      ASSERT_TRUE(test::write_gguf(test::random_model(shape, seed), {}, path).ok());
      auto runner = test::make_runner(path, machine_, {.context = 512, .max_rows = 48, .max_logit_rows = 48});
      ASSERT_TRUE(runner.ok()) << runner.error().message;
      (seed == 1 ? teacher_ : draft_) = std::move(*runner);
    }
    vocab_ = teacher_->model().config().vocab_size;
    EncodedSource source;
    source.tokens = test::test_tokens(600, vocab_, 9);
    for (const uint64_t end : {7, 9, 40, 41, 43, 140, 290, 310, 600}) source.ends.push_back(end);
    source.heldout.assign(source.ends.size(), 0);
    prepared_.token_path = folder_ / "tokens.bin";
    ASSERT_TRUE(
        write_token_file(prepared_.token_path, {1, 2, static_cast<uint32_t>(vocab_), 0}, std::vector{source})
            .ok());
    config_.sources.resize(1);
  }
  std::unique_ptr<Dataset> data(int32_t context = kContext) {
    auto dataset = Dataset::open(prepared_, config_, context);
    EXPECT_TRUE(dataset.ok());
    return std::move(*dataset);
  }
  std::vector<float> logits_after(Runner& runner, std::vector<int32_t> tokens) {
    Sequence sequence = runner.new_sequence();
    const auto logits = runner.feed(sequence, tokens);
    EXPECT_TRUE(logits.ok());
    return {logits->begin(), logits->end()};
  }

  static constexpr int32_t kContext = 64;
  TemporaryFolder folder_;
  test::Machine machine_;
  std::unique_ptr<Runner> teacher_, draft_;
  int64_t vocab_ = 0;
  Prepared prepared_;
  DataConfig config_;
};

TEST_F(DistillTest, CollectedRowsAreTheTeachersOwnDistributions) {
  for (const int32_t first : {-1, 3}) {
    const std::string path = folder_ / fmt::format("teacher{}.bin", first);
    const auto dataset = data();
    const CollectOptions options{
        .rows = 6, .first = first, .teacher = 5, .k = 4, .progress = {}, .cancel = nullptr};
    const Status status = collect_teacher(*teacher_, *dataset, path, options);
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto file = TeacherFile::open(path);
    ASSERT_TRUE(file.ok()) << file.error().message;
    ASSERT_EQ((*file)->rows(), 6);
    Batch b;
    std::vector<int32_t> ids(kContext * 4);
    std::vector<float> log_probs(ids.size());
    for (int64_t row = 0; row < 6; ++row) {
      dataset->batch(row, 1, b);
      (*file)->read(row, ids, log_probs);
      std::vector<int32_t> past;
      for (size_t i = 0; i < kContext; ++i) {
        if (i == 0 || b.segments[i] != b.segments[i - 1]) {
          past.clear();
          if (first >= 0 && b.tokens[i] != first) past.push_back(first);
        }
        past.push_back(b.tokens[i]);
        if (i % 5 != 0) continue;  // each costs a pass over its past
        std::vector<uint32_t> expected_ids(4);
        std::vector<uint16_t> expected(4);
        top_log_probs(logits_after(*teacher_, past), expected_ids, expected);
        for (size_t j = 0; j < 4; ++j) {
          EXPECT_EQ(static_cast<uint32_t>(ids[4 * i + j]), expected_ids[j]);
          EXPECT_EQ(log_probs[4 * i + j], f16_to_f32(expected[j])) << "the same bits in any packing";
        }
      }
    }
  }
}

TEST_F(DistillTest, CollectingContinuesAndTheDatasetServesIt) {
  const auto dataset = data();
  CollectOptions options{.rows = 5, .first = -1, .teacher = 5, .k = 4, .progress = {}, .cancel = nullptr};
  ASSERT_TRUE(collect_teacher(*teacher_, *dataset, folder_ / "whole.bin", options).ok());
  // Stopped after two rows, then continued.
  std::atomic<bool> cancel{false};
  options.cancel = &cancel;
  options.progress = [&](int64_t done, int64_t) { cancel = done == 2; };
  const Status stopped = collect_teacher(*teacher_, *dataset, folder_ / "parts.bin", options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  cancel = false;
  options.progress = {};
  ASSERT_TRUE(collect_teacher(*teacher_, *dataset, folder_ / "parts.bin", options).ok());
  EXPECT_EQ(TemporaryFolder::read(folder_ / "parts.bin"), TemporaryFolder::read(folder_ / "whole.bin"));

  const auto file = TeacherFile::open(folder_ / "whole.bin");
  Batch plain, taught;
  dataset->batch(0, 5, plain);
  const uint64_t before = dataset->fingerprint();
  ASSERT_TRUE(dataset->attach_teacher(*file).ok());
  EXPECT_NE(dataset->fingerprint(), before);
  dataset->batch(3, 4, taught);  // rows 3, 4, then 0, 1 again
  EXPECT_EQ(taught.teacher_k, 4);
  std::vector<int32_t> ids(kContext * 4);
  std::vector<float> log_probs(ids.size());
  const int64_t expected_rows[] = {3, 4, 0, 1};
  for (size_t r = 0; r < 4; ++r) {
    (*file)->read(expected_rows[r], ids, log_probs);
    EXPECT_TRUE(std::equal(ids.begin(), ids.end(),
                           taught.teacher_ids.begin() + static_cast<std::ptrdiff_t>(r * ids.size())));
    EXPECT_TRUE(std::equal(log_probs.begin(), log_probs.end(),
                           taught.teacher_log_probs.begin() + static_cast<std::ptrdiff_t>(r * ids.size())));
    for (size_t i = 0; i < kContext; ++i) {
      EXPECT_EQ(taught.tokens[r * kContext + i],
                plain.tokens[static_cast<size_t>(expected_rows[r]) * kContext + i]);
      EXPECT_EQ(taught.mask[r * kContext + i], taught.segments[r * kContext + i] >= 0);
    }
  }
  // Rows of another context are other rows.
  EXPECT_FALSE(data(32)->attach_teacher(*file).ok());
}

TEST_F(DistillTest, CollectRefuses) {
  const CollectOptions options{
      .rows = 1, .first = -1, .teacher = 5, .k = 4, .progress = {}, .cancel = nullptr};
  const auto error = [&](Dataset& dataset, CollectOptions o) {
    const Status status = collect_teacher(*teacher_, dataset, folder_ / "x.bin", o);
    return status.ok() ? "no error" : status.error().message;
  };
  CollectOptions many = options;
  many.k = 1025;
  EXPECT_THAT(error(*data(), many), HasSubstr("top-k: expected 1 to"));
  EXPECT_THAT(error(*data(480), options), HasSubstr("the teacher's context holds 512 tokens"));
}

TEST(Acceptance, CountsAreThoseOfALoop) {
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint8_t> matches(random() % 60);
    for (uint8_t& m : matches) m = random() % 4 != 0;
    for (int32_t k = 1; k <= kMostProposed; ++k) {
      int64_t steps = 0, accepted = 0;
      size_t at = 0;
      while (matches.size() - at >= static_cast<size_t>(k) && at <= matches.size()) {
        ++steps;
        int32_t kept = 0;
        for (; kept < k && matches[at]; ++kept) ++at;
        accepted += kept;
        ++at;  // the teacher's own token
        if (at > matches.size()) break;
      }
      const Accepted counted = count_accepted(matches, k);
      EXPECT_EQ(counted.steps, steps);
      EXPECT_EQ(counted.accepted, accepted);
    }
  }
  EXPECT_EQ(count_accepted(std::vector<uint8_t>{1, 1, 1, 1, 1, 1}, 2).mean(), 2.0);
  EXPECT_EQ(count_accepted(std::vector<uint8_t>{0, 0, 0}, 1).mean(), 0.0);
}

TEST_F(DistillTest, AModelAcceptsAllOfItself) {
  AcceptanceOptions options;
  options.prompts = 3;
  options.prompt_tokens = 10;
  options.new_tokens = 24;
  const std::vector<int32_t> text = test::test_tokens(100, vocab_, 5);
  const auto report = measure_acceptance(*teacher_, *teacher_, text, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  for (const AcceptanceMode* mode : {&report->greedy, &report->sampled}) {
    EXPECT_EQ(mode->positions, 72);
    EXPECT_EQ(mode->matches, 72);
    EXPECT_NEAR(mode->overlap, 1, 1e-5);
    for (int32_t k = 1; k <= kMostProposed; ++k) EXPECT_EQ(mode->k[static_cast<size_t>(k - 1)].mean(), k);
  }
}

TEST_F(DistillTest, MatchesAreThoseOfRealProposals) {
  AcceptanceOptions options;
  options.prompts = 2;
  options.prompt_tokens = 12;
  options.new_tokens = 20;
  const std::vector<int32_t> text = test::test_tokens(60, vocab_, 6);
  const auto report = measure_acceptance(*teacher_, *draft_, text, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_LT(report->sampled.overlap, 1);
  EXPECT_GT(report->sampled.overlap, 0);
  // Greedily, written out: the draft proposes token by token, the teacher checks.
  const int32_t k = 3;
  Accepted expected;
  for (int64_t i = 0; i < 2; ++i) {
    const auto begin = text.begin() + i * (60 - 12 + 1) / 2;
    std::vector<int32_t> all(begin, begin + 12);
    for (int n = 0; n < 20; ++n) all.push_back(greedy_token(logits_after(*teacher_, all)));
    for (size_t at = 12; at + k <= all.size();) {
      std::vector<int32_t> past(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at));
      size_t kept = 0;
      for (; kept < k; ++kept) {
        past.push_back(greedy_token(logits_after(*draft_, past)));
        if (past.back() != all[at + kept]) break;
      }
      ++expected.steps;
      expected.accepted += static_cast<int64_t>(kept);
      at += kept + 1;
    }
  }
  EXPECT_EQ(report->greedy.k[k - 1].steps, expected.steps);
  EXPECT_EQ(report->greedy.k[k - 1].accepted, expected.accepted);
}

TEST_F(DistillTest, AcceptanceRefuses) {
  const auto error = [&](AcceptanceOptions options, size_t tokens) {
    const auto report = measure_acceptance(*teacher_, *draft_, test::test_tokens(tokens, vocab_), options);
    return report.ok() ? "no error" : report.error().message;
  };
  EXPECT_THAT(error({}, 20), HasSubstr("the text has 20 tokens"));
  AcceptanceOptions options;
  options.prompt_tokens = 400;
  options.new_tokens = 400;
  EXPECT_THAT(error(options, 1000), HasSubstr("take 801 tokens"));
  options = {};
  options.prompts = 0;
  EXPECT_THAT(error(options, 1000), HasSubstr("at least 1"));
}

}  // namespace
}  // namespace tern::train
