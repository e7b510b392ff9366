// SPDX-License-Identifier: MIT
#include "core/math.h"

namespace tern {

double portable_log(double x) {
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(z), z = (m-1)/(m+1), |z| < 0.172.
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  const double f = m - 1.0, z = f / (m + 1.0), z2 = z * z;
  double tail = 0.0;
  for (int k = 27; k >= 3; k -= 2) tail = std::fma(tail, z2, 1.0 / k);  // 0.172^28 / 29 < 2^-70
  // 2 atanh(z) = 2z + 2z^3 tail, and 2z = f - f*z with f exact: near x = 1 only the correction carries
  // rounding errors.
  const double log_m = f - z * (f - 2.0 * z2 * tail);
  const double low = std::fma(exponent, 0x1.7f7d1cf79abcap-20, log_m);
  return std::fma(exponent, 0x1.62e4p-1, low);  // 15 bits: exponent * this is exact
}

double portable_exp(double x) {
  const double n = std::nearbyint(x * 0x1.71547652b82fep+0);
  const double r = std::fma(n, -0x1.7f7d1cf79abcap-20, std::fma(n, -0x1.62e4p-1, x));
  double p = 1.0;
  for (int k = 17; k >= 1; --k)
    p = std::fma(p * r, 1.0 / k, 1.0);  // Horner of the Taylor series, |r| < 0.347
  return std::ldexp(p, static_cast<int>(n));
}

void portable_sincos(double x, double* sine, double* cosine) {
  // pi/2 in three parts; fma keeps each product exact before the subtraction.
  constexpr double kHigh = 0x1.921fb54442d18p+0, kMiddle = 0x1.1a62633145c07p-54,
                   kLow = -0x1.f1976b7ed8fbcp-110;
  const double n = std::nearbyint(x * 0x1.45f306dc9c883p-1);
  const double r = std::fma(-n, kLow, std::fma(-n, kMiddle, std::fma(-n, kHigh, x)));
  const double r2 = r * r;
  double s = 1.0, c = 1.0;
  for (int k = 20; k >= 2; k -= 2) {  // nested Taylor series: |r| <= pi/4, the cut-off term is below 1e-22
    s = std::fma(-r2 / (k * (k + 1.0)), s, 1.0);
    c = std::fma(-r2 / (k * (k - 1.0)), c, 1.0);
  }
  s *= r;
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      *sine = s, *cosine = c;
      break;
    case 1:
      *sine = c, *cosine = -s;
      break;
    case 2:
      *sine = -s, *cosine = -c;
      break;
    default:
      *sine = -c, *cosine = s;
      break;
  }
}

}  // namespace tern
