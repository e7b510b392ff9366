// SPDX-License-Identifier: MIT
// Rows against their definition: every token of a pass is a target once, segments never mix documents, chats
// stay whole, the mixture is exact, any row can be asked for at any time.
#include "train/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

#include "tests/train/temporary_folder.h"
#include "train/hash.h"
#include "train/row_plan.h"
#include "train/token_file.h"

namespace tern::train {
namespace {

using test::TemporaryFolder;
using ::testing::HasSubstr;

// Documents whose tokens name them: document d of source s is the ids 1 + 40 * (32 * s + d) + 0, 1, 2 ...
// mod 40.
constexpr int32_t kIds = 40;

EncodedSource numbered(int source, const std::vector<int>& lengths, int heldout_every, bool masked) {
  EncodedSource out;
  for (size_t d = 0; d < lengths.size(); ++d) {
    for (int i = 0; i < lengths[d]; ++i) {
      out.tokens.push_back(1 + kIds * (32 * source + static_cast<int>(d)) + i % kIds);
      if (masked) out.mask.push_back(i % 3 == 0);
    }
    out.ends.push_back(out.tokens.size());
    out.heldout.push_back(heldout_every > 0 && d % static_cast<size_t>(heldout_every) == 0);
  }
  return out;
}

struct Files {
  TemporaryFolder folder;
  Prepared prepared;
  DataConfig config;

  explicit Files(const std::vector<EncodedSource>& sources, std::vector<double> weights) {
    prepared.token_path = folder / "tokens.bin";
    EXPECT_TRUE(write_token_file(prepared.token_path, {1, 2, 5000, 0}, sources).ok());
    for (size_t i = 0; i < sources.size(); ++i) {
      DataSource source;
      source.path = fmt::format("s{}", i);
      source.kind = sources[i].mask.empty() ? SourceKind::kText : SourceKind::kChat;
      source.weight = weights[i];
      config.sources.push_back(source);
    }
  }
  std::unique_ptr<Dataset> open(int32_t context, uint64_t seed = 1) {
    config.seed = seed;
    auto dataset = Dataset::open(prepared, config, context);
    EXPECT_TRUE(dataset.ok()) << (dataset.ok() ? "" : dataset.error().message);
    return std::move(*dataset);
  }
};

const std::vector<int> kLengths = {30, 7, 2, 55, 12, 90, 3, 18, 41, 26, 5, 9};

// What must hold of any row.
void check_row(const Batch& b, int32_t row) {
  const size_t begin = static_cast<size_t>(row * b.context);
  for (size_t i = begin; i < begin + static_cast<size_t>(b.context); ++i) {
    if (b.segments[i] < 0) {
      EXPECT_EQ(b.mask[i], 0);
      EXPECT_EQ(b.tokens[i], 0);
      continue;
    }
    const int32_t document = (b.tokens[i] - 1) / kIds, at = (b.tokens[i] - 1) % kIds;
    EXPECT_EQ((b.targets[i] - 1) / kIds, document) << "a target of another document";
    EXPECT_EQ((b.targets[i] - 1) % kIds, (at + 1) % kIds);
    EXPECT_EQ(document / 32, b.sources[static_cast<size_t>(row)]);
    if (i > begin && b.segments[i] == b.segments[i - 1]) {
      EXPECT_EQ(b.tokens[i], b.targets[i - 1]) << "a segment is consecutive";
    } else {
      EXPECT_EQ(b.segments[i], i == begin ? 0 : b.segments[i - 1] + 1);
    }
  }
}

TEST(TokenFile, RoundTripsAndNoticesEveryDamagedByte) {
  for (const uint32_t vocab : {5000u, 70000u}) {
    const TemporaryFolder folder;
    const std::string path = folder / "t.bin";
    std::vector<EncodedSource> sources = {numbered(0, kLengths, 3, false), numbered(1, {4, 5}, 0, true), {}};
    if (vocab > 65536) sources[0].tokens[3] = 66000;
    ASSERT_TRUE(write_token_file(path, {11, 22, vocab, 7}, sources).ok());
    const auto file = TokenFile::open(path);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ((*file)->header().key, 11u);
    EXPECT_EQ((*file)->header().tokenizer_hash, 22u);
    EXPECT_EQ((*file)->header().vocab_size, vocab);
    EXPECT_EQ((*file)->header().end_of_text, 7u);
    for (size_t s = 0; s < sources.size(); ++s) {
      const TokenFile::Source& source = (*file)->sources()[s];
      EXPECT_TRUE(
          std::equal(source.ends.begin(), source.ends.end(), sources[s].ends.begin(), sources[s].ends.end()));
      for (size_t i = 0; i < sources[s].tokens.size(); ++i) {
        EXPECT_EQ((*file)->token(source, i), sources[s].tokens[i]);
        EXPECT_EQ((*file)->counts(source, i), sources[s].mask.empty() || sources[s].mask[i]);
      }
    }
    const std::string bytes = TemporaryFolder::read(path);
    for (size_t i = 0; i < bytes.size(); i += 11) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
      EXPECT_FALSE(TokenFile::open(folder.write("d.bin", damaged)).ok()) << i;
    }
    for (size_t size = 0; size < bytes.size(); size += 29) {
      EXPECT_FALSE(TokenFile::open(folder.write("d.bin", bytes.substr(0, size))).ok()) << size;
    }
  }
}

// A header that lies, under a checksum that is right.
TEST(TokenFile, AContradictionIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "t.bin";
  ASSERT_TRUE(write_token_file(path, {1, 2, 5000, 0}, std::vector{numbered(0, kLengths, 0, false)}).ok());
  const std::string bytes = TemporaryFolder::read(path);
  std::mt19937_64 random(8);
  for (int round = 0; round < 300; ++round) {
    std::string changed = bytes;
    const size_t at = 8 * (1 + random() % (bytes.size() / 8 - 2));
    const uint64_t values[] = {0, 1, UINT64_MAX, random(), uint64_t{1} << 61, random() % 4096};
    std::memcpy(&changed[at], &values[random() % 6], 8);
    const uint64_t sum = hash64(std::string_view(changed).substr(0, changed.size() - 8));
    std::memcpy(&changed[changed.size() - 8], &sum, 8);
    const auto file = TokenFile::open(folder.write("d.bin", changed));
    if (!file.ok()) continue;
    for (const TokenFile::Source& source : (*file)->sources()) {
      for (size_t d = 0; d < source.num_documents(); ++d) {
        for (uint64_t t = source.begin(d); t < source.end(d); ++t) {
          EXPECT_LT(static_cast<uint32_t>((*file)->token(source, t)), (*file)->header().vocab_size);
        }
      }
    }
  }
}

TEST(Dataset, APassHasEveryTokenAsATargetOnce) {
  Files files({numbered(0, kLengths, 0, false)}, {1});
  const auto total = static_cast<int>(std::accumulate(kLengths.begin(), kLengths.end(), 0) - kLengths.size());
  for (const int32_t context : {8, 16, 33}) {
    const auto dataset = files.open(context);
    const int32_t rows = total / context;
    for (int pass = 0; pass < 4; ++pass) {
      Batch b;
      dataset->batch(pass * rows, rows, b);
      std::multiset<std::pair<int32_t, int32_t>> seen;
      for (int32_t row = 0; row < rows; ++row) check_row(b, row);
      for (size_t i = 0; i < b.tokens.size(); ++i) {
        EXPECT_EQ(b.mask[i], 1) << "text rows are full and every position counts";
        seen.emplace(b.tokens[i], b.targets[i]);
      }
      // How often each (token, target) stands in the documents; fewer than a row are left out in a pass.
      std::multiset<std::pair<int32_t, int32_t>> all;
      for (size_t d = 0; d < kLengths.size(); ++d) {
        for (int i = 0; i + 1 < kLengths[d]; ++i) {
          const int32_t first = 1 + kIds * static_cast<int32_t>(d);
          all.emplace(first + i % kIds, first + (i + 1) % kIds);
        }
      }
      EXPECT_TRUE(std::includes(all.begin(), all.end(), seen.begin(), seen.end()));
      EXPECT_LT(all.size() - seen.size(), static_cast<size_t>(context));
    }
  }
}

TEST(Dataset, ChatsStayWholeUnlessLongerThanARow) {
  Files files({numbered(0, kLengths, 0, true)}, {1});
  const int32_t context = 32;
  const auto dataset = files.open(context);
  Batch b;
  std::map<int32_t, int> columns;  // of each document
  int pieces = 0;
  // One pass has as many rows as the held-out plan of the same documents would; find its end by counting
  // columns.
  int64_t row = 0;
  const int total = std::accumulate(kLengths.begin(), kLengths.end(), 0) - static_cast<int>(kLengths.size());
  for (int done = 0; done < total; ++row) {
    dataset->batch(row, 1, b);
    check_row(b, 0);
    for (size_t i = 0; i < 32; ++i) {
      if (b.segments[i] < 0) continue;
      ++done;
      const int32_t document = (b.tokens[i] - 1) / kIds;
      ++columns[document];
      pieces += i == 0 || b.segments[i] != b.segments[i - 1];
      if (kLengths[static_cast<size_t>(document)] <= kIds) {
        EXPECT_EQ(b.mask[i], (b.targets[i] - 1) % kIds % 3 == 0) << "the mask is the target's";
      }
    }
  }
  for (size_t d = 0; d < kLengths.size(); ++d) EXPECT_EQ(columns[static_cast<int32_t>(d)], kLengths[d] - 1);
  // 55, 90 and 41 tokens are 54, 89 and 40 columns: 2, 3 and 2 pieces; all others one.
  EXPECT_EQ(pieces, static_cast<int>(kLengths.size()) + 1 + 2 + 1);
}

TEST(Dataset, AnyOrderOfCallsGivesTheSameRows) {
  Files files({numbered(0, kLengths, 4, false), numbered(1, {9, 20, 6, 13}, 0, true),
               numbered(2, {100, 50}, 0, false)},
              {5, 2, 1});
  const int32_t context = 16;
  Batch straight;
  files.open(context)->batch(0, 3000, straight);
  std::mt19937 random(2);
  const auto dataset = files.open(context);
  for (int round = 0; round < 300; ++round) {
    const auto first = static_cast<int64_t>(random() % 2990);
    const auto rows = static_cast<int32_t>(1 + random() % 10);
    Batch b;
    dataset->batch(first, rows, b);
    for (size_t i = 0; i < b.tokens.size(); ++i) {
      const size_t at = static_cast<size_t>(first * context) + i;
      ASSERT_EQ(b.tokens[i], straight.tokens[at]);
      ASSERT_EQ(b.segments[i], straight.segments[at]);
    }
  }
  Batch other;
  files.open(context, 2)->batch(0, 3000, other);
  EXPECT_NE(other.tokens, straight.tokens) << "another seed";
  for (int32_t row = 0; row < 200; ++row) check_row(straight, row);
}

TEST(Dataset, TheMixtureIsExact) {
  Files files({numbered(0, kLengths, 0, false), numbered(1, {9, 20, 6}, 0, true),
               numbered(2, {100, 50}, 0, false), numbered(3, {10, 10}, 1, false)},
              {6, 2, 0, 5});
  const auto dataset = files.open(16);
  Batch b;
  for (int64_t cycle = 0; cycle < 3; ++cycle) {
    dataset->batch(cycle * 1024, 1024, b);
    std::map<int32_t, int> rows;
    for (const int32_t source : b.sources) ++rows[source];
    // Source 2 has no weight, source 3 is all held out: 6 to 2 remain.
    EXPECT_EQ(rows, (std::map<int32_t, int>{{0, 768}, {1, 256}}));
  }
  EXPECT_EQ(dataset->sources()[0].share, 0.75);
  EXPECT_EQ(dataset->sources()[3].heldout_documents, 2);
  EXPECT_EQ(dataset->sources()[3].documents, 0);
}

TEST(Dataset, HeldOutRowsHoldEveryHeldOutTokenOnceAndNoOther) {
  Files files({numbered(0, kLengths, 4, false), numbered(1, {9, 20, 6, 13}, 2, true)}, {1, 1});
  const auto dataset = files.open(16);
  Batch b;
  for (size_t s = 0; s < 2; ++s) {
    std::map<int32_t, int> columns;
    const int64_t rows = dataset->heldout_rows(s);
    dataset->heldout_batch(s, 0, static_cast<int32_t>(rows), b);
    for (int32_t row = 0; row < rows; ++row) check_row(b, row);
    for (size_t i = 0; i < b.tokens.size(); ++i) {
      if (b.segments[i] >= 0) ++columns[(b.tokens[i] - 1) / kIds];
    }
    const auto expected =
        s == 0 ? std::map<int32_t, int>{{0, 29}, {4, 11}, {8, 40}} : std::map<int32_t, int>{{32, 8}, {34, 5}};
    EXPECT_EQ(columns, expected);
    dataset->batch(0, 500, b);
    for (size_t i = 0; i < b.tokens.size(); ++i) {
      if (b.segments[i] >= 0) {
        EXPECT_EQ(expected.count((b.tokens[i] - 1) / kIds), 0u) << "held out";
      }
    }
  }
}

TEST(Dataset, FingerprintKnowsWhatDecidesRows) {
  Files files({numbered(0, kLengths, 0, false), numbered(1, {9, 20}, 0, true)}, {1, 1});
  const uint64_t first = files.open(16)->fingerprint();
  EXPECT_EQ(files.open(16)->fingerprint(), first);
  EXPECT_NE(files.open(16, 2)->fingerprint(), first);
  EXPECT_NE(files.open(17)->fingerprint(), first);
  files.config.sources[0].weight = 2;
  EXPECT_NE(files.open(16)->fingerprint(), first);
}

TEST(Dataset, WithoutTrainingTextItIsRefused) {
  Files files({numbered(0, {10, 10}, 1, false)}, {1});
  const auto dataset = Dataset::open(files.prepared, files.config, 16);
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().message, HasSubstr("no training text left"));
}

TEST(RowPlan, OneShortDocumentIsOneRow) {
  const std::vector<DocumentLength> documents = {{0, 5}};
  EXPECT_EQ(plan_stream(documents, 16, 0, false).num_rows(), 1u);
  EXPECT_EQ(plan_stream({}, 16, 0, true).num_rows(), 0u);
  EXPECT_EQ(plan_whole({}, 16).num_rows(), 0u);
}

TEST(RowPlan, ApportionIsExactAndGivesEveryShareARow) {
  std::mt19937 random(6);
  for (int round = 0; round < 500; ++round) {
    std::vector<double> shares(1 + random() % 40);
    for (double& s : shares) s = random() % 4 == 0 ? 0 : std::pow(10.0, static_cast<double>(random() % 7));
    shares[0] = 1;
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& s : shares) s /= sum;
    const std::vector<int32_t> counts = apportion(shares, 1024);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), 1024);
    for (size_t i = 0; i < shares.size(); ++i) {
      EXPECT_EQ(counts[i] > 0, shares[i] > 0);
      // One off by rounding, and what the smallest shares were given (at most one each).
      EXPECT_NEAR(counts[i], shares[i] * 1024, 1.0 + static_cast<double>(shares.size()));
    }
  }
}

TEST(Hash64, DoesNotDependOnTheCuts) {
  std::mt19937 random(1);
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes += static_cast<char>(random());
  for (int round = 0; round < 100; ++round) {
    Hash64 hash;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = std::min<size_t>(bytes.size() - at, random() % 20);
      hash.add(std::string_view(bytes).substr(at, n));
      at += n;
    }
    EXPECT_EQ(hash.value(), hash64(bytes));
  }
  EXPECT_NE(hash64(""), hash64(std::string(1, '\0')));
}

}  // namespace
}  // namespace tern::train
