// SPDX-License-Identifier: MIT
// Ops on one row (norm, quantise, add, gates, rope): every table repeats the scalar one bit for bit, and the
// scalar one obeys its formulas.
#include <functional>

#include "core/math.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

class RowsEquality : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, RowsEquality, faster_tables(), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RowsEquality);
class RowsDefinition : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, RowsDefinition, every_table(), table_name);

// ---- norm
// ---------------------------------------------------------------------------------------------------------

TEST_P(RowsEquality, RmsNorm) {
  for (const Values kind : kAllValues) {
    for (const int64_t n : kWidths) {
      const Guarded<float> x = random_floats(kind, static_cast<uint32_t>(n), n),
                           w = random_floats(Values::kNormal, 9, n);
      for (const float eps : {1e-5f, 1e-6f, 0.0f}) {
        for (const float* weight : {w.data(), static_cast<const float*>(nullptr)}) {
          Guarded<float> expected(n), actual(n), in_place(x.copy());
          scalar().rms_norm(x.data(), weight, n, eps, expected.data());
          table.rms_norm(x.data(), weight, n, eps, actual.data());
          table.rms_norm(in_place.data(), weight, n, eps, in_place.data());
          ASSERT_TRUE(same_bits(expected, actual)) << n << " values " << static_cast<int>(kind);
          ASSERT_TRUE(same_bits(expected, in_place)) << n << " in place, values " << static_cast<int>(kind);
        }
      }
    }
  }
}

TEST_P(RowsDefinition, RmsNormAgainstDouble) {
  for (const int64_t n : {1, 16, 100, 2560, 6912}) {
    const Guarded<float> x = random_floats(Values::kNormal, 4, n), w = random_floats(Values::kNormal, 5, n);
    Guarded<float> y(n);
    table.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double{x.data()[i]} * x.data()[i];
    const double r = 1.0 / std::sqrt(sum / static_cast<double>(n) + double{1e-5f});
    // All terms are positive: the sum is off by (n/16 + 4) * 2^-24 at most, its root by half of that; 6 more
    // roundings.
    const double bound = (static_cast<double>(n) / 32 + 2 + 6) * 0x1p-24;
    for (int64_t i = 0; i < n; ++i) {
      const double expected = x.data()[i] * r * w.data()[i];
      ASSERT_NEAR(expected, y[i], std::fabs(expected) * bound) << n;
    }
  }
}

TEST_P(RowsDefinition, RmsNormShowsSquaresThatOverflow) {
  Guarded<float> x(random_floats(Values::kNormal, 4, 100).copy()), y(100);
  x[7] = 2e19f;  // its square is above the largest float
  table.rms_norm(x.data(), nullptr, 100, 1e-5f, y.data());
  for (int64_t i = 0; i < 100; ++i)
    ASSERT_TRUE(std::isnan(y[i])) << i;  // not 0, which would look like a result
}

// ---- quantise
// -----------------------------------------------------------------------------------------------------

struct Quantized {
  explicit Quantized(int64_t n_padded) : q(n_padded), block_sums(n_padded / 64), sum(1) {
    std::fill_n(q.data(), n_padded, int8_t{99});  // padding must be written, not assumed
    std::fill_n(block_sums.data(), n_padded / 64, 99);
  }
  bool operator==(const Quantized& other) const {
    return std::bit_cast<uint32_t>(s) == std::bit_cast<uint32_t>(other.s) && q.copy() == other.q.copy() &&
           block_sums.copy() == other.block_sums.copy() && sum.copy() == other.sum.copy();
  }
  Guarded<int8_t> q;
  Guarded<int32_t> block_sums, sum;
  float s = 0;
};

std::unique_ptr<Quantized> quantize(const KernelTable& table, const Guarded<float>& x, int64_t n_padded) {
  auto result = std::make_unique<Quantized>(n_padded);
  result->s = table.quantize(x.data(), static_cast<int64_t>(x.size()), n_padded, result->q.data(),
                             result->block_sums.data(), result->sum.data());
  return result;
}

TEST_P(RowsEquality, Quantize) {
  for (const Values kind : kAllValues) {
    for (const int64_t n : kWidths) {
      const Guarded<float> x = random_floats(kind, static_cast<uint32_t>(n), n);
      for (const int64_t extra : {0, 64, 192}) {
        const int64_t n_padded = (n + 63) / 64 * 64 + extra;
        ASSERT_EQ(*quantize(scalar(), x, n_padded), *quantize(table, x, n_padded))
            << n << " values " << static_cast<int>(kind);
      }
    }
  }
}

TEST_P(RowsDefinition, QuantizeRoundsTiesToEven) {
  // The largest magnitude is 127, so s = 1 and every half stands exactly between two integers.
  std::vector<float> x = {127.0f};
  for (int k = -127; k < 127; ++k) {
    x.push_back(static_cast<float>(k) + 0.5f);
    x.push_back(std::nextafter(static_cast<float>(k) + 0.5f, -200.0f));
    x.push_back(std::nextafter(static_cast<float>(k) + 0.5f, 200.0f));
  }
  const auto result = quantize(table, Guarded<float>(x), 768);
  EXPECT_EQ(1.0f, result->s);
  for (size_t i = 0; i < x.size(); ++i) {
    const double floor = std::floor(double{x[i]}), above = x[i] - floor;
    const double rounded = above > 0.5 || (above == 0.5 && std::fmod(floor, 2.0) != 0.0) ? floor + 1 : floor;
    ASSERT_EQ(rounded, result->q[static_cast<int64_t>(i)]) << x[i];
  }
}

TEST_P(RowsDefinition, QuantizeScaleAndSums) {
  for (const Values kind :
       {Values::kNormal, Values::kDenormal, Values::kHuge, Values::kMixed, Values::kZeros, Values::kSpike}) {
    for (const int64_t n : kWidths) {
      const Guarded<float> x = random_floats(kind, 11, n);
      const int64_t n_padded = (n + 63) / 64 * 64;
      auto result = quantize(table, x, n_padded);
      float a = 1e-5f;
      for (const float v : x.copy()) a = std::max(a, std::fabs(v));
      ASSERT_EQ(127.0f / a, result->s);
      int32_t sum = 0;
      for (int64_t block = 0; block < n_padded / 64; ++block) {
        int32_t block_sum = 0;
        for (int64_t i = block * 64; i < block * 64 + 64; ++i) block_sum += result->q[i];
        ASSERT_EQ(block_sum, result->block_sums[block]);
        sum += block_sum;
      }
      ASSERT_EQ(sum, result->sum[0]);
      for (int64_t i = n; i < n_padded; ++i) ASSERT_EQ(0, result->q[i]);
    }
  }
}

TEST_P(RowsDefinition, QuantizeReportsEveryValueThatIsNotFinite) {
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, std::bit_cast<float>(0x7f800001u)};
  for (const int64_t n : {1, 5, 16, 17, 33, 64, 100, 172}) {
    for (int64_t at = 0; at < n; ++at) {
      for (const float value : bad) {
        Guarded<float> x = random_floats(Values::kNormal, 3, n);
        x[at] = value;
        const int64_t n_padded = (n + 63) / 64 * 64 + 64;
        const auto result = quantize(table, x, n_padded);
        ASSERT_EQ(-1.0f, result->s) << n << " " << at;
        ASSERT_EQ(std::vector<int8_t>(static_cast<size_t>(n_padded)), result->q.copy());
        ASSERT_EQ(std::vector<int32_t>(static_cast<size_t>(n_padded / 64)), result->block_sums.copy());
        ASSERT_EQ(0, result->sum[0]);
      }
    }
  }
}

TEST_P(RowsDefinition, QuantizeKeepsTheLargestFiniteFloats) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const auto result =
      quantize(table, Guarded<float>(std::vector<float>{kMax, -kMax, kMax / 2, 0.0f, -0.0f, 0x1p-149f}), 64);
  EXPECT_EQ(127.0f / kMax, result->s);
  EXPECT_EQ(127, result->q[0]);
  EXPECT_EQ(-127, result->q[1]);
  EXPECT_EQ(0, result->q[5]);
}

// ---- add and gates
// ------------------------------------------------------------------------------------------------

TEST_P(RowsEquality, Add) {
  for (const Values kind : kAllValues) {
    for (int64_t n = 0; n <= 130; ++n) {
      Guarded<float> expected = random_floats(kind, 1, n), actual(expected.copy());
      const Guarded<float> y = random_floats(kind, 2, n);
      scalar().add(expected.data(), y.data(), n);
      table.add(actual.data(), y.data(), n);
      ASSERT_TRUE(same_bits(expected, actual)) << n;
    }
  }
}

TEST_P(RowsEquality, Gates) {
  for (const auto gate : {&KernelTable::gate_relu2, &KernelTable::gate_silu}) {
    for (const Values kind : kAllValues) {
      for (const int64_t n : kWidths) {
        Guarded<float> g = random_floats(kind, 1, n), u = random_floats(kind, 2, n);
        if (n > 5) g[1] = NAN, g[2] = INFINITY, g[3] = -INFINITY, u[4] = NAN, u[5] = -INFINITY;
        Guarded<float> expected(n), actual(n), over_g(g.copy()), over_u(u.copy());
        (scalar().*gate)(g.data(), u.data(), n, expected.data());
        (table.*gate)(g.data(), u.data(), n, actual.data());
        ASSERT_TRUE(same_bits(expected, actual)) << n << " values " << static_cast<int>(kind);
        (table.*gate)(over_g.data(), u.data(), n, over_g.data());
        ASSERT_TRUE(same_bits(expected, over_g)) << n;
        (table.*gate)(g.data(), over_u.data(), n, over_u.data());
        ASSERT_TRUE(same_bits(expected, over_u)) << n;
      }
    }
  }
}

/// Runs both tables' silu over g = first, first + step, ... of the bit patterns, with u = 1.
void expect_same_silu(const KernelTable& table, uint64_t first, uint64_t last, uint64_t step) {
  constexpr int64_t kChunk = 4096;
  std::vector<float> g(kChunk), u(kChunk, 1.0f), expected(kChunk), actual(kChunk);
  for (uint64_t bits = first; bits < last;) {
    for (float& value : g) {
      value = std::bit_cast<float>(static_cast<uint32_t>(std::min(bits, last - 1)));
      bits += step;
    }
    scalar().gate_silu(g.data(), u.data(), kChunk, expected.data());
    table.gate_silu(g.data(), u.data(), kChunk, actual.data());
    ASSERT_TRUE(same_bits(expected, actual)) << "near bits " << bits;
  }
}

TEST_P(RowsEquality, SiluOverTheWholeFloatRange) { expect_same_silu(table, 0, uint64_t{1} << 32, 1021); }

/// Below g = -17 the result is g / exp(-g) but for one rounding, so exp shows bit by bit. A constant of
/// exp_f32 that is wrong by its last place changes some result in this range, whichever constant it is; only
/// that of r^7 changes none.
TEST_P(RowsEquality, SiluWhereExpShowsExhaustively) {
  expect_same_silu(table, std::bit_cast<uint32_t>(-17.0f), std::bit_cast<uint32_t>(-88.5f), 1);
}

TEST_P(RowsEquality, SiluAroundTheEndsOfExp) {
  for (const float end : {87.0f, 88.0f, 0.0f, 1.0f, 17.0f, 128.0f}) {
    const auto bits = int64_t{std::bit_cast<uint32_t>(end)};
    for (const int64_t sign : {int64_t{0}, int64_t{1} << 31}) {
      expect_same_silu(table, static_cast<uint64_t>(sign + std::max<int64_t>(0, bits - 3000)),
                       static_cast<uint64_t>(sign + bits + 3000), 1);
    }
  }
}

TEST_P(RowsDefinition, GateFormulas) {
  const std::vector<float> g = {-3.0f, -0.0f, 0.0f, 0.5f, 3.0f, NAN, INFINITY, 0x1p100f, -100.0f};
  const std::vector<float> u = {2.0f, 2.0f, -2.0f, -2.0f, 3.0f, 4.0f, 1.0f, 1.0f, 5.0f};
  std::vector<float> out(g.size());
  table.gate_relu2(g.data(), u.data(), static_cast<int64_t>(g.size()), out.data());
  const std::vector<float> relu2 = {0.0f, 0.0f, -0.0f, -0.5f, 27.0f, 0.0f, INFINITY, INFINITY, 0.0f};
  EXPECT_TRUE(same_bits(relu2, out));  // NaN is not above zero: it counts as +0
  table.gate_silu(g.data(), u.data(), static_cast<int64_t>(g.size()), out.data());
  EXPECT_EQ(-0.0f, out[8]);  // -100 / (1 + infinity)
  EXPECT_TRUE(std::signbit(out[8]));
  EXPECT_TRUE(std::isnan(out[5]));
  EXPECT_EQ(INFINITY, out[6]);
  EXPECT_NEAR(3.0 / (1 + std::exp(-3.0)) * 3.0, out[4], 1e-6);  // 4 roundings and exp's: below 4 ulp of 8.6
}

// ---- rope
// ---------------------------------------------------------------------------------------------------------

TEST_P(RowsEquality, Rope) {
  for (const bool adjacent : {false, true}) {
    for (const int64_t head_dim : {2, 8, 16, 30, 32, 64, 96, 100, 128, 256}) {
      for (const int64_t rope_dim : {head_dim, head_dim / 2 / 2 * 2, int64_t{2}}) {
        if (rope_dim == 0) continue;
        for (const int64_t heads : {1, 3, 20}) {
          for (const Values kind : {Values::kNormal, Values::kMixed, Values::kOverflowing}) {
            Guarded<float> expected = random_floats(kind, 3, heads * head_dim), actual(expected.copy());
            const Guarded<float> cos = random_floats(Values::kNormal, 4, rope_dim / 2),
                                 sin = random_floats(Values::kNormal, 5, rope_dim / 2);
            scalar().rope({expected.data(), heads, head_dim, rope_dim, adjacent, cos.data(), sin.data()});
            table.rope({actual.data(), heads, head_dim, rope_dim, adjacent, cos.data(), sin.data()});
            ASSERT_TRUE(same_bits(expected, actual)) << head_dim << " " << rope_dim << " " << adjacent;
          }
        }
      }
    }
  }
}

TEST_P(RowsDefinition, RopeRotatesPairsAndLeavesTheRest) {
  for (const bool adjacent : {false, true}) {
    std::vector<float> x = {1, 2, 3, 4, 50, 60, /* second head */ -1, 0, 2, 5, 70, 80};
    const float cos[] = {0.0f, -1.0f}, sin[] = {1.0f, 0.0f};  // a quarter turn, a half turn
    table.rope({x.data(), 2, 6, 4, adjacent, cos, sin});
    const std::vector<float> split = {-3, -2, 1, -4, 50, 60, -2, 0, -1, -5, 70, 80};
    const std::vector<float> pairs = {-2, 1, -3, -4, 50, 60, 0, -1, -2, -5, 70, 80};
    EXPECT_EQ(adjacent ? pairs : split, x);
  }
}

}  // namespace
}  // namespace tern
