// SPDX-License-Identifier: MIT
// core/float16.h against the definition of the two types, and against the processor's own conversion where it
// has one.
#include "core/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/formats/codec_oracle.h"

#if defined(__x86_64__)
#  include <immintrin.h>
#endif

namespace tern {
namespace {

uint32_t bits(float f) { return std::bit_cast<uint32_t>(f); }
float from_bits(uint32_t u) { return std::bit_cast<float>(u); }

/// The value of a finite half by its definition; 0x7c00 reads as 2^16, the step after the largest finite one.
double half_value(uint32_t h) {
  const int exponent = static_cast<int>(h >> 10 & 31);
  const double mantissa = h & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

/// The same for bf16; 0x7f80 reads as 2^128.
double bfloat_value(uint32_t h) {
  const int exponent = static_cast<int>(h >> 7 & 255);
  const double mantissa = h & 127;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) float hardware_widen(uint16_t h) { return _cvtsh_ss(h); }
__attribute__((target("f16c"))) uint16_t hardware_narrow(float f) {
  return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
bool has_hardware() { return __builtin_cpu_supports("f16c") != 0; }
#else
float hardware_widen(uint16_t) { return 0.0f; }
uint16_t hardware_narrow(float) { return 0; }
bool has_hardware() { return false; }
#endif

/// Nearest half or bf16 of a non-negative value below the type's infinity, ties to even, by bisection over
/// all of them.
template <class Value>
uint16_t nearest(double x, Value value, uint32_t infinity) {
  uint32_t low = 0, high = infinity;  // value(low) <= x < value(high)
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (value(middle) <= x ? low : high) = middle;
  }
  const double below = x - value(low), above = value(high) - x;
  if (below == above) return static_cast<uint16_t>(low % 2 == 0 ? low : high);
  return static_cast<uint16_t>(below < above ? low : high);
}

/// The three f32 around a non-negative one.
template <class Check>
void around(float f, Check check) {
  if (bits(f) > 0) check(from_bits(bits(f) - 1));
  check(f);
  check(from_bits(bits(f) + 1));
}

TEST(Float16, WidensEveryHalf) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = f16_to_f32(static_cast<uint16_t>(h));
    if ((h & 0x7c00) != 0x7c00) {
      ASSERT_EQ(static_cast<double>(f), half_value(h)) << h;
      ASSERT_EQ(std::signbit(f), (h & 0x8000) != 0) << h;
    } else if ((h & 0x3ff) == 0) {
      ASSERT_EQ(bits(f), (h & 0x8000) != 0 ? 0xff800000u : 0x7f800000u) << h;
    } else {
      ASSERT_TRUE(std::isnan(f)) << h;
      ASSERT_EQ(bits(f), (h & 0x8000) << 16 | 0x7fc00000u | (h & 0x3ff) << 13) << h;
    }
    ASSERT_TRUE(std::isnan(f) || f32_to_f16(f) == h) << h;
  }
}

TEST(Float16, NarrowsAroundEveryBoundary) {
  const auto check = [](float f) {
    const uint16_t expected = nearest(f, half_value, 0x7c00);
    ASSERT_EQ(f32_to_f16(f), expected) << f;
    ASSERT_EQ(f32_to_f16(-f), expected | 0x8000) << -f;
  };
  for (uint32_t h = 0; h < 0x7c00; ++h) {
    around(static_cast<float>(half_value(h)), check);
    // The middle between neighbours has 12 bits: exact in f32.
    around(static_cast<float>((half_value(h) + half_value(h + 1)) / 2), check);
  }
  for (const float f :
       {65536.0f, 1e9f, std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(f32_to_f16(f), 0x7c00);
    EXPECT_EQ(f32_to_f16(-f), 0xfc00);
  }
  check(std::numeric_limits<float>::denorm_min());
  check(std::numeric_limits<float>::min());
}

TEST(Float16, NarrowsRandomValues) {
  test::Random random(11);
  for (int i = 0; i < 1000000; ++i) {
    // Exponents 2^-28 .. 2^16: where halves are, and a little below.
    const uint32_t magnitude =
        static_cast<uint32_t>((127 - 28 + random.below(44)) << 23 | random.below(1 << 23));
    const float f = from_bits(magnitude);
    ASSERT_EQ(f32_to_f16(f), nearest(f, half_value, 0x7c00)) << f;
  }
}

TEST(Float16, NanStaysNan) {
  for (uint32_t low = 1; low < 1 << 23; low += 97) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const uint16_t half = f32_to_f16(from_bits(sign | 0x7f800000u | low));
      ASSERT_EQ(half & 0x7e00, 0x7e00);
      ASSERT_EQ(half & 0x8000, sign >> 16);
      const uint16_t bfloat = f32_to_bf16(from_bits(sign | 0x7f800000u | low));
      ASSERT_EQ(bfloat & 0x7fc0, 0x7fc0);
      ASSERT_EQ(bfloat & 0x8000, sign >> 16);
    }
  }
}

TEST(Float16, EqualsTheProcessor) {
  if (!has_hardware()) GTEST_SKIP() << "this processor has no F16C";
  for (uint32_t h = 0; h < 65536; ++h) {
    ASSERT_EQ(bits(f16_to_f32(static_cast<uint16_t>(h))), bits(hardware_widen(static_cast<uint16_t>(h))))
        << h;
  }
  // Every 251st pattern of f32 (a prime, so all low bits occur), NaN and infinity among them.
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 251) {
    const float f = from_bits(static_cast<uint32_t>(u));
    ASSERT_EQ(f32_to_f16(f), hardware_narrow(f)) << u;
  }
}

TEST(BFloat16, WidensEveryValue) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = bf16_to_f32(static_cast<uint16_t>(h));
    if ((h & 0x7f80) != 0x7f80) {
      ASSERT_EQ(static_cast<double>(f), bfloat_value(h)) << h;
    } else {
      ASSERT_EQ(std::isnan(f), (h & 0x7f) != 0) << h;
      ASSERT_EQ(std::isinf(f), (h & 0x7f) == 0) << h;
    }
    ASSERT_EQ(std::signbit(f), (h & 0x8000) != 0) << h;
    ASSERT_TRUE(std::isnan(f) || f32_to_bf16(f) == h) << h;
  }
}

TEST(BFloat16, NarrowsAroundEveryBoundary) {
  const auto check = [](float f) {
    const uint16_t expected = nearest(f, bfloat_value, 0x7f80);
    ASSERT_EQ(f32_to_bf16(f), expected) << f;
    ASSERT_EQ(f32_to_bf16(-f), expected | 0x8000) << -f;
  };
  for (uint32_t h = 0; h < 0x7f80; ++h) {
    around(from_bits(h << 16), check);
    around(from_bits(h << 16 | 0x8000), check);  // the middle: 9 significant bits
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-std::numeric_limits<float>::infinity()), 0xff80);
  test::Random random(12);
  for (int i = 0; i < 1000000; ++i) check(from_bits(static_cast<uint32_t>(random.below(0x7f800000u))));
}

}  // namespace
}  // namespace tern
