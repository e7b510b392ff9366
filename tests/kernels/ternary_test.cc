// SPDX-License-Identifier: MIT
// Ternary products: every table against plain int64 arithmetic on trits (independent of layout T2) and
// against the scalar table bit for bit, at the inputs that overflow narrow accumulators, for any number of
// tokens and any split.
#include <cstdint>

#include "kernels/cpu/packed_t2.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

enum class Trits { kRandom, kAllPlusTwo, kAllMinusOne, kAllPlusOne };
enum class Acts { kRandom, kAll127, kAllMinus128, kAlternating, kZeros, kSpike };

struct Case {
  int64_t rows, cols;
  WeightScale kind = WeightScale::kTensor;
  int64_t group_cols = 64;
  int64_t tokens = 1;
  Trits trits = Trits::kRandom;
  Acts acts = Acts::kRandom;
};

std::string describe(const Case& c) {
  return fmt::format("rows {} cols {} kind {} group {} tokens {} trits {} acts {}", c.rows, c.cols,
                     static_cast<int>(c.kind), c.group_cols, c.tokens, static_cast<int>(c.trits),
                     static_cast<int>(c.acts));
}

int8_t activation(Acts kind, int64_t i, uint32_t random) {
  switch (kind) {
    case Acts::kRandom:
      return static_cast<int8_t>(random >> 24);
    case Acts::kAll127:
      return 127;
    case Acts::kAllMinus128:
      return -128;
    case Acts::kAlternating:
      return i % 2 == 0 ? 127 : -128;
    case Acts::kZeros:
      return 0;
    case Acts::kSpike:
      return i == 1 ? 127 : 0;
  }
  return 0;
}

int8_t trit(Trits kind, uint32_t random) {
  switch (kind) {
    case Trits::kRandom:
      return static_cast<int8_t>(static_cast<int>(random >> 30) - 1);
    case Trits::kAllPlusTwo:
      return 2;
    case Trits::kAllMinusOne:
      return -1;
    case Trits::kAllPlusOne:
      return 1;
  }
  return 0;
}

/// A packed matrix and quantised rows in guarded memory, with the plain arrays beside them.
struct Problem {
  explicit Problem(const Case& test_case)
      : c(test_case),
        groups(c.kind == WeightScale::kGroup ? (c.cols + c.group_cols - 1) / c.group_cols : 1),
        k_padded((c.cols + 63) / 64 * 64),
        q(c.tokens * k_padded),
        block_sums(c.tokens * k_padded / 64),
        sums(c.tokens),
        act_scale(c.tokens) {
    std::mt19937 rng(static_cast<uint32_t>(c.rows * 31 + c.cols * 17 + c.tokens));
    for (int64_t i = 0; i < c.rows * c.cols; ++i) trits.push_back(trit(c.trits, rng()));
    const float one_scale = 0.0375f;
    for (int64_t i = 0; i < c.rows * groups; ++i) {
      const float random =
          std::ldexp(static_cast<float>(rng() % 4001) - 2000.0f, static_cast<int>(rng() % 20) - 20);
      scales.push_back(c.kind == WeightScale::kTensor ? one_scale : random);
    }
    for (int64_t m = 0; m < c.tokens; ++m) {
      for (int64_t k = 0; k < c.cols; ++k) {
        const int8_t value = activation(c.acts, k, rng());
        q[m * k_padded + k] = value;
        block_sums[(m * k_padded + k) / 64] += value;
        sums[m] += value;
      }
      act_scale[m] =
          std::ldexp(1.0f + static_cast<float>(rng() % 1000) / 1000.0f, static_cast<int>(rng() % 30) - 10);
    }
    TernarySource source;
    source.rows = c.rows;
    source.cols = c.cols;
    source.scale_kind = c.kind;
    source.group_cols = c.group_cols;
    source.read = [this](int64_t begin, int64_t count, int8_t* out, float* out_scales) -> Status {
      std::copy_n(trits.data() + begin * c.cols, count * c.cols, out);
      std::copy_n(scales.data() + begin * groups, count * groups, out_scales);
      return {};
    };
    packed = PackedT2::pack(source, nullptr).value();
    // The packed bytes and scales once more, in memory that ends where they end.
    const TernaryArgs args = packed->args();
    weights = std::make_unique<Guarded<uint8_t>>(
        std::vector<uint8_t>(args.weights, args.weights + packed->panels() * k_padded * 4));
    const int64_t scale_count = args.scale_kind == WeightScale::kTensor ? 1
                                : args.scale_kind == WeightScale::kRow  ? packed->panels() * 16
                                                                        : packed->panels() * 16 * groups;
    w_scale = std::make_unique<Guarded<float>>(std::vector<float>(args.w_scale, args.w_scale + scale_count));
  }

  TernaryArgs args(float* y) {
    TernaryArgs args = packed->args();
    args.weights = weights->data();
    args.w_scale = w_scale->data();
    args.q = q.data();
    // What a kernel must not look at is not there.
    args.block_sums = args.scale_kind == WeightScale::kGroup ? block_sums.data() : nullptr;
    args.sums = args.scale_kind == WeightScale::kGroup ? nullptr : sums.data();
    args.act_scale = act_scale.data();
    args.tokens = c.tokens;
    args.panel_begin = 0;
    args.panel_end = packed->panels();
    args.y = y;
    args.y_stride = c.rows;
    return args;
  }

  /// The same rows of activations, one token only.
  TernaryArgs args_of_token(int64_t m, float* y) {
    TernaryArgs one = args(y);
    one.tokens = 1;
    one.q += m * k_padded;
    if (one.block_sums != nullptr) one.block_sums += m * k_padded / 64;
    if (one.sums != nullptr) one.sums += m;
    one.act_scale += m;
    return one;
  }

  /// The definition, from trits.
  float expected(int64_t m, int64_t n) {
    const auto sum = [&](int64_t begin, int64_t end) {
      int64_t s = 0;
      for (int64_t k = begin; k < end; ++k)
        s += int64_t{trits[static_cast<size_t>(n * c.cols + k)]} * q[m * k_padded + k];
      return static_cast<float>(static_cast<int32_t>(s));
    };
    if (packed->scale_kind() != WeightScale::kGroup) {
      return sum(0, c.cols) / act_scale[m] * scales[static_cast<size_t>(n * groups)];
    }
    float acc = 0.0f;
    for (int64_t g = 0; g < groups; ++g) {
      const float s = sum(g * c.group_cols, std::min((g + 1) * c.group_cols, c.cols));
      acc = std::fma(s, scales[static_cast<size_t>(n * groups + g)], acc);
    }
    return acc / act_scale[m];
  }

  Case c;
  int64_t groups, k_padded;
  std::vector<int8_t> trits;  // [rows, cols]
  std::vector<float> scales;  // [rows, groups]
  Guarded<int8_t> q;          // [tokens, k_padded]
  Guarded<int32_t> block_sums, sums;
  Guarded<float> act_scale;
  std::unique_ptr<PackedT2> packed;
  std::unique_ptr<Guarded<uint8_t>> weights;
  std::unique_ptr<Guarded<float>> w_scale;
};

constexpr float kUntouched = -12345.5f;

Guarded<float> untouched(int64_t count) {
  return Guarded<float>(std::vector<float>(static_cast<size_t>(count), kUntouched));
}

const WeightScale kKinds[] = {WeightScale::kTensor, WeightScale::kRow, WeightScale::kGroup};
const int64_t kTokenCounts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130};

class TernaryDefinition : public TableTest {};
class TernaryEquality : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, TernaryDefinition, every_table(), table_name);
INSTANTIATE_TEST_SUITE_P(Tables, TernaryEquality, faster_tables(), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TernaryEquality);

void expect_definition(const KernelTable& table, const Case& c) {
  Problem problem(c);
  Guarded<float> y = untouched(c.tokens * c.rows);
  table.ternary(problem.args(y.data()));
  std::vector<float> expected;
  for (int64_t m = 0; m < c.tokens; ++m) {
    for (int64_t n = 0; n < c.rows; ++n) expected.push_back(problem.expected(m, n));
  }
  EXPECT_TRUE(same_bits(expected, std::span(y.data(), y.size()))) << describe(c);
}

TEST_P(TernaryDefinition, EqualsPlainArithmeticOnTrits) {
  for (const WeightScale kind : kKinds) {
    for (const int64_t rows : {1, 5, 16, 17, 37}) {
      for (const int64_t cols : {1, 15, 16, 63, 64, 65, 172, 320, 1000}) {
        for (const int64_t group_cols : {64, 128, 256}) {
          if (kind != WeightScale::kGroup && group_cols != 64) continue;
          for (const int64_t tokens : {1, 2, 3, 9})
            expect_definition(table, {rows, cols, kind, group_cols, tokens});
        }
      }
    }
  }
}

TEST_P(TernaryDefinition, ModelShapes) {
  expect_definition(table, {640, 2560, WeightScale::kTensor, 64, 2});
  expect_definition(table, {97, 6912, WeightScale::kRow, 64, 3});
  expect_definition(table, {33, 5460, WeightScale::kRow, 64, 5});
  expect_definition(table, {48, 8640, WeightScale::kTensor, 64, 4});
  expect_definition(table,
                    {48, 8640, WeightScale::kGroup, 256, 4});  // 8640 = 33 groups of 256 and 192 columns
  expect_definition(table, {172, 172, WeightScale::kGroup, 128, 4});
}

TEST_P(TernaryDefinition, ExtremeActivationsAndTrits) {
  for (const WeightScale kind : kKinds) {
    for (const Trits trits : {Trits::kRandom, Trits::kAllPlusTwo, Trits::kAllMinusOne, Trits::kAllPlusOne}) {
      for (const Acts acts : {Acts::kAll127, Acts::kAllMinus128, Acts::kAlternating, Acts::kZeros,
                              Acts::kSpike, Acts::kRandom}) {
        for (const int64_t cols : {64, 100, 2176, 2560, 6912}) {
          for (const int64_t tokens : {1, 3})
            expect_definition(table, {17, cols, kind, 128, tokens, trits, acts});
        }
      }
    }
  }
}

/// The sums at which int16 accumulators of other engines wrap (FORMATS.md C.4), with scales of one.
TEST_P(TernaryDefinition, WorstCaseSumsAreExact) {
  struct Known {
    int64_t cols;
    Trits trits;
    Acts acts;
    float sum;
  };
  const Known known[] = {
      {2048, Trits::kAllPlusOne, Acts::kAll127, 260096.0f},
      {2176, Trits::kAllPlusOne, Acts::kAll127, 276352.0f},
      {2560, Trits::kAllPlusOne, Acts::kAll127, 325120.0f},
      {6912, Trits::kAllPlusOne, Acts::kAll127, 877824.0f},
      {2176, Trits::kAllPlusTwo, Acts::kAll127, 552704.0f},
      {2560, Trits::kAllPlusTwo, Acts::kAll127, 650240.0f},
      {6912, Trits::kAllPlusTwo, Acts::kAll127, 1755648.0f},
      {6912, Trits::kAllPlusTwo, Acts::kAllMinus128, -1769472.0f},
      {6912, Trits::kAllMinusOne, Acts::kAllMinus128, 884736.0f},
      {6912, Trits::kAllPlusOne, Acts::kAllMinus128, -884736.0f},
  };
  for (const Known& k : known) {
    for (const int64_t tokens : {1, 4, 17}) {
      Problem problem({16, k.cols, WeightScale::kTensor, 64, tokens, k.trits, k.acts});
      (*problem.w_scale)[0] = 1.0f;
      for (int64_t m = 0; m < tokens; ++m) problem.act_scale[m] = 1.0f;
      Guarded<float> y(tokens * 16);
      table.ternary(problem.args(y.data()));
      for (const float value : y.copy())
        ASSERT_EQ(k.sum, value) << k.cols << " columns, " << tokens << " tokens";
    }
  }
}

TEST_P(TernaryDefinition, TheLargestProvenWidthDoesNotOverflow) {
  constexpr int64_t kCols =
      5592384;  // the bound that pack() enforces; |sum of code * q| = 2,147,475,456 < 2^31
  for (const int8_t value : {int8_t{-128}, int8_t{127}}) {
    std::vector<uint8_t> weights(kCols * 4, 0xff);  // code 3 everywhere
    std::vector<int8_t> q(kCols, value);
    const int32_t sum = static_cast<int32_t>(kCols) * value;
    std::vector<int32_t> block_sums(kCols / 64, 64 * value);
    std::vector<float> y(16), scales(16, 1.0f);
    const float s = 1.0f;
    TernaryArgs args{};
    args.weights = weights.data();
    args.k_padded = kCols;
    args.rows = 16;
    args.w_scale = scales.data();
    args.q = q.data();
    args.block_sums = block_sums.data();
    args.sums = &sum;
    args.act_scale = &s;
    args.tokens = 1;
    args.panel_end = 1;
    args.y = y.data();
    args.y_stride = 16;
    table.ternary(args);
    EXPECT_EQ(std::vector<float>(16, static_cast<float>(2 * sum)), y);
    args.scale_kind = WeightScale::kGroup;  // and as one group
    args.group_cols = kCols;
    table.ternary(args);
    EXPECT_EQ(std::vector<float>(16, static_cast<float>(2 * sum)), y);
  }
}

TEST_P(TernaryDefinition, RowOfManyTokensEqualsThatRowAlone) {
  for (const WeightScale kind : kKinds) {
    for (const int64_t tokens : kTokenCounts) {
      Problem problem({37, 300, kind, 64, tokens});
      Guarded<float> y = untouched(tokens * 37), one = untouched(37);
      table.ternary(problem.args(y.data()));
      for (int64_t m = 0; m < tokens; ++m) {
        table.ternary(problem.args_of_token(m, one.data()));
        ASSERT_TRUE(same_bits(std::span(one.data(), 37), std::span(y.data() + m * 37, 37)))
            << tokens << " tokens, row " << m;
      }
    }
  }
}

TEST_P(TernaryDefinition, WritesItsPanelsOnly) {
  for (const WeightScale kind : kKinds) {
    for (const int64_t tokens : {1, 2, 5, 16, 33}) {
      Problem problem({100, 192, kind, 64, tokens});  // 7 panels, the last has 4 features
      constexpr int64_t kStride = 130;
      Guarded<float> whole = untouched(tokens * kStride);
      TernaryArgs args = problem.args(whole.data());
      args.y_stride = kStride;
      table.ternary(args);
      for (int64_t begin = 0; begin < 7; ++begin) {
        for (int64_t end = begin; end <= 7; ++end) {
          Guarded<float> part = untouched(tokens * kStride), expected = untouched(tokens * kStride);
          for (int64_t m = 0; m < tokens; ++m) {
            for (int64_t n = begin * 16; n < std::min<int64_t>(100, end * 16); ++n) {
              expected[m * kStride + n] = whole[m * kStride + n];
            }
          }
          args.y = part.data();
          args.panel_begin = begin;
          args.panel_end = end;
          table.ternary(args);
          ASSERT_TRUE(same_bits(expected, part))
              << "panels " << begin << ".." << end << ", " << tokens << " tokens";
        }
      }
    }
  }
}

TEST_P(TernaryEquality, EveryTokenCountAndKind) {
  for (const WeightScale kind : kKinds) {
    for (const int64_t tokens : kTokenCounts) {
      for (const auto& [rows, cols] :
           {std::pair<int64_t, int64_t>{1, 64}, {53, 172}, {16, 320}, {83, 1000}, {40, 2560}}) {
        const Case c{rows, cols, kind, 256, tokens};
        Problem problem(c);
        Guarded<float> expected = untouched(tokens * rows), actual = untouched(tokens * rows);
        scalar().ternary(problem.args(expected.data()));
        table.ternary(problem.args(actual.data()));
        ASSERT_TRUE(same_bits(expected, actual)) << describe(c);
      }
    }
  }
}

/// Scales at the ends of the float range: denormal and infinite results must round alike.
TEST_P(TernaryEquality, ExtremeScales) {
  for (const WeightScale kind : kKinds) {
    for (const float s : {0x1p-126f, 0x1p-20f, 1.27e7f, 0x1p120f}) {
      for (const float w : {0.0f, -0.0f, 0x1p-149f, 0x1.8p-130f, 0x1p-60f, 0x1p127f}) {
        Problem problem({33, 200, kind, 64, 3});
        for (int64_t m = 0; m < 3; ++m) problem.act_scale[m] = s;
        for (size_t i = 0; i < problem.w_scale->size(); ++i)
          (*problem.w_scale)[static_cast<int64_t>(i)] = i % 2 ? w : -w;
        Guarded<float> expected(99), actual(99);
        scalar().ternary(problem.args(expected.data()));
        table.ternary(problem.args(actual.data()));
        ASSERT_TRUE(same_bits(expected, actual)) << s << " " << w;
      }
    }
  }
}

}  // namespace
}  // namespace tern
