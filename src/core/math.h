// SPDX-License-Identifier: MIT
// Our own exp, log, sin, cos: one operation order, so that every machine computes the same bits (law 3). libm
// differs between systems. exp_f32 is the specification that every ISA's vector exp repeats operation by
// operation.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace tern {

/// The constants of exp_f32, shared with the vector versions through kernel_table.h's documentation of the
/// order.
struct ExpConstants {
  static constexpr float kLowest = -87.0f;         // below: exactly 0 (keeps every result a normal number)
  static constexpr float kHighest = 88.0f;         // above: +infinity
  static constexpr float kLog2E = 0x1.715476p+0f;  // log2(e)
  static constexpr float kRound = 12582912.0f;     // 1.5 * 2^23: adding it rounds to an integer, ties to even
  static constexpr float kLn2High =
      0x1.62e400p-1f;  // 15 significant bits: n * kLn2High is exact for |n| <= 127
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;  // ln 2 - kLn2High
  // Taylor coefficients 1/7! ... 1/2!; |r| <= ln(2)/2, so the cut-off term is below 6e-9 relative.
  static constexpr float kC7 = 1.0f / 5040, kC6 = 1.0f / 720, kC5 = 1.0f / 120, kC4 = 1.0f / 24,
                         kC3 = 1.0f / 6, kC2 = 0.5f;
};

/// e^x in f32, error below 1.5 ulp in [-87, 88]. x < -87 gives +0, x > 88 gives +infinity, NaN gives NaN.
inline float exp_f32(float x) {
  using C = ExpConstants;
  if (x < C::kLowest) return 0.0f;
  if (x > C::kHighest) return INFINITY;
  if (x != x) return x;
  const float shifted = std::fma(x, C::kLog2E, C::kRound);
  const float n = shifted - C::kRound;
  const float r = std::fma(n, -C::kLn2Low, std::fma(n, -C::kLn2High, x));
  float p = std::fma(C::kC7, r, C::kC6);
  p = std::fma(p, r, C::kC5);
  p = std::fma(p, r, C::kC4);
  p = std::fma(p, r, C::kC3);
  p = std::fma(p, r, C::kC2);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  // 2^n: n is in [-126, 127], its integer stands in the low bits of `shifted`.
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  return p * std::bit_cast<float>(exponent);
}

/// Natural logarithm of a positive normal double; error below 2 ulp.
double portable_log(double x);
/// e^x for |x| < 700; error below 2 ulp.
double portable_exp(double x);
/// sin and cos of an angle with |x| < 2^30; absolute error below 1e-15 + 1e-16 * |x| / 2^10.
void portable_sincos(double x, double* sine, double* cosine);

}  // namespace tern
