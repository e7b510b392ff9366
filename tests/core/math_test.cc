// SPDX-License-Identifier: MIT
// Our exp, log, sin and cos against libm in higher precision, on dense grids; bounds are those stated in
// core/math.h.
#include "core/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace tern {
namespace {

/// The distance from `actual` to `exact` in units of the last place of `exact` (p = bits of the type).
template <int p, class Real>
Real ulps(Real actual, Real exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return std::fabs(actual - exact) / std::ldexp(Real{1}, exponent - p);
}

double worst_exp_error(uint32_t first, uint32_t last, uint32_t step) {
  double worst = 0;
  for (uint64_t bits = first; bits <= last; bits += step) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    worst = std::max(worst, ulps<24>(double{exp_f32(x)}, std::exp(double{x})));
  }
  return worst;
}

// Measured over all floats of [-87, 88] on 2026-11-21: 0.9386 ulp at 26.688; 1.5 is the promise.
TEST(Exp32, WithinThreeHalvesOfAnUlp) {
  EXPECT_LE(worst_exp_error(std::bit_cast<uint32_t>(0.0f), std::bit_cast<uint32_t>(88.0f), 997), 1.5);
  EXPECT_LE(worst_exp_error(std::bit_cast<uint32_t>(-0.0f), std::bit_cast<uint32_t>(-87.0f), 997), 1.5);
  // One binade in full: every reduced argument to within 2^-18, with 23 powers of two.
  EXPECT_LE(worst_exp_error(std::bit_cast<uint32_t>(-16.0f), std::bit_cast<uint32_t>(-32.0f), 3), 1.5);
}

TEST(Exp32, Ends) {
  EXPECT_EQ(1.0f, exp_f32(0.0f));
  EXPECT_EQ(1.0f, exp_f32(-0.0f));
  EXPECT_EQ(1.0f, exp_f32(std::numeric_limits<float>::denorm_min()));
  EXPECT_EQ(0.0f, exp_f32(std::nextafter(-87.0f, -100.0f)));
  EXPECT_FALSE(std::signbit(exp_f32(-1000.0f)));
  EXPECT_EQ(0.0f, exp_f32(-INFINITY));
  EXPECT_EQ(INFINITY, exp_f32(std::nextafter(88.0f, 100.0f)));
  EXPECT_EQ(INFINITY, exp_f32(INFINITY));
  EXPECT_TRUE(std::isnan(exp_f32(NAN)));
  EXPECT_TRUE(std::isnormal(exp_f32(-87.0f)));
  EXPECT_TRUE(std::isfinite(exp_f32(88.0f)));
}

TEST(Exp32, NeverFalls) {
  float previous = 0.0f;
  for (float x = -87.0f; x <= 88.0f; x += 0x1p-13f) {
    const float y = exp_f32(x);
    ASSERT_LE(previous, y) << x;
    previous = y;
  }
}

TEST(Exp32, ReductionConstants) {
  // n * kLn2High is exact for |n| <= 127, and the two parts give ln 2 to half a place of the low one.
  for (int n = -127; n <= 127; ++n) {
    const double product = double{ExpConstants::kLn2High} * n;
    EXPECT_EQ(product, double{static_cast<float>(product)});
  }
  EXPECT_NEAR(0.6931471805599453094, double{ExpConstants::kLn2High} + double{ExpConstants::kLn2Low}, 0x1p-44);
}

TEST(PortableLog, BelowTwoUlps) {
  // Wide range, around 1 (where the result vanishes), and both sides of the cut at sqrt(2).
  for (int i = -4000; i <= 4000; ++i) {
    for (const double x :
         {std::exp(i * 0.177), 1.0 + i * 1e-9, 1.0 + i * 1e-4, 1.4142135623730951 + i * 1e-15}) {
      if (x <= 0.0) continue;
      const auto exact = std::log(static_cast<long double>(x));
      if (exact == 0.0L) {
        ASSERT_EQ(0.0, portable_log(x));
      } else {
        ASSERT_LT((ulps<53, long double>(portable_log(x), exact)), 2.0L) << x;
      }
    }
  }
  for (const double x :
       {std::numeric_limits<double>::min(), std::numeric_limits<double>::max(), 10000.0, 500000.0}) {
    EXPECT_LT((ulps<53, long double>(portable_log(x), std::log(static_cast<long double>(x)))), 2.0L) << x;
  }
  EXPECT_EQ(0.0, portable_log(1.0));
}

TEST(PortableExp, BelowTwoUlps) {
  for (int i = -70000; i <= 70000; ++i) {
    for (const double x : {i * 0.00999, i * 1e-5, i * 1e-12}) {
      ASSERT_LT((ulps<53, long double>(portable_exp(x), std::exp(static_cast<long double>(x)))), 2.0L) << x;
    }
  }
  EXPECT_EQ(1.0, portable_exp(0.0));
}

TEST(PortableSincos, WithinItsAbsoluteError) {
  const auto check = [](double x) {
    double sine = 0, cosine = 0;
    portable_sincos(x, &sine, &cosine);
    const long double bound = 1e-15L + 1e-16L * std::fabs(static_cast<long double>(x)) / 1024;
    ASSERT_LT(std::fabs(sine - std::sin(static_cast<long double>(x))), bound) << x;
    ASSERT_LT(std::fabs(cosine - std::cos(static_cast<long double>(x))), bound) << x;
  };
  for (int i = -100000; i <= 100000; ++i) {
    check(i * 0.001);
    check(i);                                            // angles of positions: whole numbers
    check(i * 10737.0 + 0.3);                            // up to 2^30
    check(std::nextafter(i * 1.5707963267948966, 1e9));  // next to the zeros
  }
  double sine = 1, cosine = 0;
  portable_sincos(0.0, &sine, &cosine);
  EXPECT_EQ(0.0, sine);
  EXPECT_EQ(1.0, cosine);
}

}  // namespace
}  // namespace tern
