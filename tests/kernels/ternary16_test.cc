// SPDX-License-Identifier: MIT
// Weight-only numerics: activations of 16 bits in two planes of int8. Quantising and products against their
// definitions (plain int64 arithmetic on trits and 16-bit values, nothing of planes or of layout T2), every
// table against the scalar one bit for bit, threads and chunks of tokens through the backend, and the error
// that 16 bits leave against the float product.
#include <memory>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/packed_t2.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

class Ternary16 : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, Ternary16, every_table(), table_name);

// ---- quantise

struct Quantized {
  explicit Quantized(int64_t padded) : n_padded(padded), q(2 * padded), block_sums(2 * padded / 64), sums(2) {
    std::fill_n(q.data(), q.size(), int8_t{99});  // padding must be written, not assumed
    std::fill_n(block_sums.data(), block_sums.size(), 99);
  }
  int value(int64_t i) const { return 256 * q.data()[i] + q.data()[n_padded + i]; }

  int64_t n_padded;
  Guarded<int8_t> q;
  Guarded<int32_t> block_sums, sums;
  float s = 0;
};

std::unique_ptr<Quantized> quantize(const KernelTable& table, const Guarded<float>& x, int64_t n_padded) {
  auto out = std::make_unique<Quantized>(n_padded);
  out->s = table.quantize16(x.data(), static_cast<int64_t>(x.size()), n_padded, out->q.data(),
                            out->block_sums.data(), out->sums.data());
  return out;
}

TEST_P(Ternary16, QuantizeIsTheScalarOne) {
  for (const Values kind : kAllValues) {
    for (const int64_t n : kWidths) {
      const Guarded<float> x = random_floats(kind, static_cast<uint32_t>(n), n);
      const int64_t n_padded = (n + 63) / 64 * 64 + (n % 2) * 64;
      const auto expected = quantize(scalar(), x, n_padded), found = quantize(table, x, n_padded);
      ASSERT_EQ(std::bit_cast<uint32_t>(expected->s), std::bit_cast<uint32_t>(found->s)) << n;
      ASSERT_EQ(expected->q.copy(), found->q.copy()) << n;
      ASSERT_EQ(expected->block_sums.copy(), found->block_sums.copy()) << n;
      ASSERT_EQ(expected->sums.copy(), found->sums.copy()) << n;
    }
  }
}

TEST_P(Ternary16, QuantizeObeysItsFormula) {
  for (const Values kind :
       {Values::kNormal, Values::kDenormal, Values::kHuge, Values::kMixed, Values::kZeros, Values::kSpike}) {
    for (const int64_t n : kWidths) {
      const Guarded<float> x = random_floats(kind, 11, n);
      const int64_t n_padded = (n + 63) / 64 * 64, blocks = n_padded / 64;
      const auto found = quantize(table, x, n_padded);
      float a = 1e-5f;
      for (const float v : x.copy()) a = std::max(a, std::fabs(v));
      ASSERT_EQ(32639.0f / a, found->s);
      std::vector<int32_t> block_sums(static_cast<size_t>(2 * blocks)), sums(2);
      for (int64_t i = 0; i < n_padded; ++i) {
        const float scaled = i < n ? x.data()[i] * found->s : 0.0f;
        ASSERT_EQ(found->value(i), static_cast<int>(std::nearbyint(scaled))) << i;
        ASSERT_LE(std::abs(found->value(i)), 32639);
        for (int64_t plane = 0; plane < 2; ++plane) {
          block_sums[static_cast<size_t>(plane * blocks + i / 64)] += found->q.data()[plane * n_padded + i];
          sums[static_cast<size_t>(plane)] += found->q.data()[plane * n_padded + i];
        }
      }
      ASSERT_EQ(block_sums, found->block_sums.copy());
      ASSERT_EQ(sums, found->sums.copy());
    }
  }
}

/// Every 16-bit value there is, and the halves between them: the planes hold it exactly, ties go to even.
TEST_P(Ternary16, EveryValueAndEveryTie) {
  std::vector<float> x = {32639.0f};  // s = 1
  for (int k = -32639; k <= 32639; ++k) x.push_back(static_cast<float>(k));
  for (int k = -32639; k < 32639; ++k) x.push_back(static_cast<float>(k) + 0.5f);
  const auto n_padded = (static_cast<int64_t>(x.size()) + 63) / 64 * 64;
  const auto found = quantize(table, Guarded<float>(x), n_padded);
  ASSERT_EQ(1.0f, found->s);
  for (size_t i = 0; i < x.size(); ++i) {
    const double floor = std::floor(double{x[i]}), above = x[i] - floor;
    const double rounded = above > 0.5 || (above == 0.5 && std::fmod(floor, 2.0) != 0.0) ? floor + 1 : floor;
    ASSERT_EQ(rounded, found->value(static_cast<int64_t>(i))) << x[i];
  }
}

TEST_P(Ternary16, QuantizeReportsEveryValueThatIsNotFinite) {
  for (const int64_t n : {1, 16, 17, 64, 100}) {
    for (int64_t at = 0; at < n; ++at) {
      for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
        Guarded<float> x = random_floats(Values::kNormal, 3, n);
        x[at] = bad;
        const auto found = quantize(table, x, 128);
        ASSERT_EQ(-1.0f, found->s);
        ASSERT_EQ(std::vector<int8_t>(256), found->q.copy());
        ASSERT_EQ(std::vector<int32_t>(4), found->block_sums.copy());
        ASSERT_EQ(std::vector<int32_t>(2), found->sums.copy());
      }
    }
  }
}

// ---- products

struct Case {
  int64_t rows, cols;
  WeightScale kind;
  int64_t group_cols, tokens;
  enum class Numbers { kRandom, kLargest, kSmallest } numbers = Numbers::kRandom;
};

std::string describe(const Case& c) {
  return fmt::format("rows {} cols {} kind {} group {} tokens {} numbers {}", c.rows, c.cols,
                     static_cast<int>(c.kind), c.group_cols, c.tokens, static_cast<int>(c.numbers));
}

/// A packed matrix and 16-bit rows in guarded memory, with the plain numbers beside them.
struct Problem {
  explicit Problem(const Case& test_case)
      : c(test_case),
        groups(c.kind == WeightScale::kGroup ? (c.cols + c.group_cols - 1) / c.group_cols : 1),
        k_padded((c.cols + 63) / 64 * 64),
        planes(2 * c.tokens * k_padded),
        block_sums(2 * c.tokens * k_padded / 64),
        sums(2 * c.tokens),
        act_scale(c.tokens) {
    std::mt19937 rng(static_cast<uint32_t>(c.rows * 31 + c.cols * 17 + c.tokens));
    using enum Case::Numbers;
    for (int64_t i = 0; i < c.rows * c.cols; ++i) {
      trits.push_back(c.numbers == kRandom ? static_cast<int8_t>(static_cast<int>(rng() % 4) - 1)
                                           : int8_t{2});
    }
    for (int64_t i = 0; i < c.rows * groups; ++i) {
      scales.push_back(c.kind == WeightScale::kTensor ? 0.0375f
                                                      : std::ldexp(static_cast<float>(rng() % 4001), -12));
    }
    for (int64_t m = 0; m < c.tokens; ++m) {
      for (int64_t k = 0; k < c.cols; ++k) {
        const int value = c.numbers == kRandom    ? static_cast<int>(rng() % 65279) - 32639
                          : c.numbers == kLargest ? 32639
                                                  : -32639;
        values.push_back(value);
        const int high = static_cast<int>(std::floor((value + 128) / 256.0));
        put(2 * m, k, high);
        put(2 * m + 1, k, value - 256 * high);
      }
      act_scale[m] = std::ldexp(1.0f + static_cast<float>(rng() % 1000) / 1000.0f, 5);
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
  }

  void put(int64_t row, int64_t k, int value) {
    planes[row * k_padded + k] = static_cast<int8_t>(value);
    block_sums[(row * k_padded + k) / 64] += value;
    sums[row] += value;
  }

  /// y of the tokens [first, first + count).
  std::vector<float> run(const KernelTable& table, int64_t first, int64_t count) {
    TernaryArgs args = packed->args();
    const bool grouped = args.scale_kind == WeightScale::kGroup;
    args.q = planes.data() + 2 * first * k_padded;
    args.block_sums = grouped ? block_sums.data() + 2 * first * k_padded / 64 : nullptr;
    args.sums = grouped ? nullptr : sums.data() + 2 * first;
    args.act_scale = act_scale.data() + first;
    args.tokens = count;
    args.panel_end = packed->panels();
    Guarded<float> y(count * c.rows);
    args.y = y.data();
    args.y_stride = c.rows;
    table.ternary16(args);
    return y.copy();
  }

  /// The definition, from trits and values.
  float expected(int64_t m, int64_t n) const {
    const auto sum = [&](int64_t begin, int64_t end) {
      int64_t s = 0;
      for (int64_t k = begin; k < end; ++k)
        s +=
            int64_t{trits[static_cast<size_t>(n * c.cols + k)]} * values[static_cast<size_t>(m * c.cols + k)];
      return static_cast<float>(s);
    };
    const float s = act_scale.data()[m];
    if (packed->scale_kind() != WeightScale::kGroup)
      return sum(0, c.cols) / s * scales[static_cast<size_t>(n * groups)];
    float acc = 0.0f;
    for (int64_t g = 0; g < groups; ++g) {
      const float part = sum(g * c.group_cols, std::min((g + 1) * c.group_cols, c.cols));
      acc = std::fma(part, scales[static_cast<size_t>(n * groups + g)], acc);
    }
    return acc / s;
  }

  Case c;
  int64_t groups, k_padded;
  std::vector<int8_t> trits;  // [rows, cols]
  std::vector<float> scales;  // [rows, groups]
  std::vector<int> values;    // [tokens, cols]
  Guarded<int8_t> planes;
  Guarded<int32_t> block_sums, sums;
  Guarded<float> act_scale;
  std::unique_ptr<PackedT2> packed;
};

void expect_definition(const KernelTable& table, const Case& c) {
  Problem problem(c);
  std::vector<float> expected;
  for (int64_t m = 0; m < c.tokens; ++m) {
    for (int64_t n = 0; n < c.rows; ++n) expected.push_back(problem.expected(m, n));
  }
  EXPECT_TRUE(same_bits(expected, problem.run(table, 0, c.tokens))) << describe(c);
}

TEST_P(Ternary16, EqualsPlainArithmetic) {
  for (const WeightScale kind : {WeightScale::kTensor, WeightScale::kRow, WeightScale::kGroup}) {
    for (const int64_t group : {64, 128, 256}) {
      if (kind != WeightScale::kGroup && group != 64) continue;
      for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 12, 13, 17})
        expect_definition(table, {37, 328, kind, group, tokens});
      for (const int64_t cols : {1, 63, 64, 65, 128, 172, 1000})
        expect_definition(table, {18, cols, kind, group, 2});
      for (const int64_t rows : {1, 15, 16, 17, 32, 49})
        expect_definition(table, {rows, 200, kind, group, 3});
    }
  }
}

/// The proof of kMaxColumns16 at its edge: +-2 in every weight, +-32639 in every activation.
TEST_P(Ternary16, TheWidestMatrixDoesNotOverflow) {
  using enum Case::Numbers;
  for (const auto numbers : {kLargest, kSmallest}) {
    expect_definition(table, {3, kMaxColumns16, WeightScale::kTensor, 64, 2, numbers});
    expect_definition(table, {3, kMaxColumns16, WeightScale::kGroup, 16448, 3, numbers});
  }
}

TEST_P(Ternary16, ATokenAloneGivesTheBitsItGivesInCompany) {
  for (const WeightScale kind : {WeightScale::kRow, WeightScale::kGroup}) {
    Problem problem({50, 300, kind, 64, 40});
    const std::vector<float> all = problem.run(table, 0, 40);
    for (int64_t m = 0; m < 40; ++m) {
      const std::vector<float> one = problem.run(table, m, 1);
      ASSERT_TRUE(same_bits(std::span(all).subspan(static_cast<size_t>(m * 50), 50), one)) << m;
    }
  }
}

// ---- the backend

struct Rows {
  Rows(int64_t rows, int64_t k_padded)
      : q(static_cast<size_t>(2 * rows * k_padded)),
        block_sums(static_cast<size_t>(2 * rows * k_padded / 64)),
        sums(static_cast<size_t>(2 * rows)),
        act_scale(static_cast<size_t>(rows)),
        bad(static_cast<size_t>(rows)),
        view{q.data(), block_sums.data(), sums.data(), act_scale.data()} {}
  std::vector<int8_t> q;
  std::vector<int32_t> block_sums, sums;
  std::vector<float> act_scale;
  std::vector<uint8_t> bad;
  QuantizedRows view;
};

constexpr int64_t kTokens = 150, kWidth = 5460, kFeatures = 35;  // a width that 128 and 64 do not divide

/// Group scales over a ragged width, all trits and scales from a hash.
TernarySource ragged_source() {
  TernarySource source;
  source.rows = kFeatures;
  source.cols = kWidth;
  source.scale_kind = WeightScale::kGroup;
  source.group_cols = 128;
  source.read = [](int64_t begin, int64_t count, int8_t* trits, float* scales) -> Status {
    for (int64_t i = 0; i < count * kWidth; ++i)
      trits[i] = static_cast<int8_t>(
          static_cast<int>((static_cast<uint32_t>(begin * kWidth + i) * 2654435761u >> 13) % 3) - 1);
    for (int64_t i = 0; i < count * 43; ++i)
      scales[i] = 0.01f + 0.001f * static_cast<float>((begin * 43 + i) % 17);
    return {};
  };
  return source;
}

TEST(Ternary16Backend, EveryTableAndThreadCountGivesTheSameBits) {
  const Guarded<float> x = random_floats(Values::kNormal, 5, kTokens * kWidth);
  const auto run = [&](Backend& backend, bool in_float) {
    const auto weight = backend.pack_ternary(ragged_source()).value();
    std::vector<float> y(static_cast<size_t>(kTokens * kFeatures));
    if (in_float) {
      backend.ternary_matmul_f32(x.data(), *weight, kTokens, y.data());
      return y;
    }
    Rows rows(kTokens, 5504);
    backend.quantize16(x.data(), kTokens, kWidth, &rows.view, rows.bad.data());
    EXPECT_EQ(2, rows.view.planes);
    backend.ternary_matmul(rows.view, *weight, kTokens, y.data());
    return y;
  };
  for (const bool in_float : {false, true}) {
    const auto expected = run(*make_cpu_backend(scalar(), nullptr), in_float);
    for (const KernelTable* listed : kernel_tables()) {
      const auto table = choose_kernels(listed->name, detect_cpu_features());
      if (!table.ok()) continue;  // the table tests report it as skipped
      for (const size_t threads : {1, 3}) {
        ThreadPool pool(threads, Topology{}, false);
        const auto backend = make_cpu_backend(*table, &pool);
        EXPECT_TRUE(same_bits(expected, run(*backend, in_float))) << listed->name << ", " << threads;
      }
    }
  }
}

/// |y16 - y| for weights w and rounding steps of at most 1/2 in units of 1/s = a/32639:
///   sum |w| * a / (2 * 32639), and float roundings of both sides: 2^-24 of the sums' absolute terms, 43
///   groups in a chain of fma, two more operations, and one rounding of each 16-bit product's input: 50 *
///   2^-24 is generous.
TEST(Ternary16Backend, TheErrorAgainstRealNumbersIsBounded) {
  const Guarded<float> x = random_floats(Values::kNormal, 8, kTokens * kWidth);
  const auto backend = make_cpu_backend(choose_kernels("auto", detect_cpu_features()).value(), nullptr);
  const auto weight = backend->pack_ternary(ragged_source()).value();
  Rows rows(kTokens, 5504);
  std::vector<float> y(static_cast<size_t>(kTokens * kFeatures));
  backend->quantize16(x.data(), kTokens, kWidth, &rows.view, rows.bad.data());
  backend->ternary_matmul(rows.view, *weight, kTokens, y.data());
  double worst = 0, worst_share = 0;
  std::vector<int8_t> trits(kWidth);
  std::vector<float> scales(43);
  for (int64_t n = 0; n < kFeatures; ++n) {
    weight->unpack(n, 1, trits.data(), scales.data());
    for (int64_t m = 0; m < kTokens; ++m) {
      double exact = 0, weights = 0, terms = 0, a = 0;
      for (int64_t k = 0; k < kWidth; ++k) {
        const double w = double{scales[static_cast<size_t>(k / 128)]} * trits[static_cast<size_t>(k)];
        const double value = x.data()[m * kWidth + k];
        exact += w * value;
        weights += std::fabs(w);
        terms += std::fabs(w * value);
        a = std::max(a, std::fabs(value));
      }
      const double bound = weights * a / (2 * 32639) + terms * 50 * 0x1p-24;
      const double error = std::fabs(exact - double{y[static_cast<size_t>(m * kFeatures + n)]});
      ASSERT_LE(error, bound) << m << " " << n;
      worst = std::max(worst, error / terms);
      worst_share = std::max(worst_share, error / bound);
    }
  }
  fmt::print("16-bit activations: error up to {:.2g} of sum |w x|, {:.3g} of the bound\n", worst,
             worst_share);
}

}  // namespace
}  // namespace tern
