// SPDX-License-Identifier: Apache-2.0
// Elementary functions from IEEE operations only, the same bits on every machine (docs/numerics.md, 6.3): Taylor
// series after an argument reduction with fma. Largest errors, measured against long double: cos_f64, sin_f64,
// log_f64 and exp_f64 below 1 unit in the last place; exp_f32 and log_f32 below 0.5001.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

/// x = quadrant * pi/2 + (r + tail), |r| <= pi/4 and a little.
struct ReducedAngle {
  double r;
  double tail;
  int quadrant;  // 0..3
};

/// |x| <= 2^20 (larger angles do not occur). pi/2 in three parts; the first subtraction is exact.
BITCYCLE_HD ReducedAngle reduce_angle(double x) {
  const double n = rint(x * 0x1.45f306dc9c883p-1);
  const double first = fma(-n, 0x1.921fb54442d18p+0, x);
  const double p = n * 0x1.1a62633145c07p-54;
  const double p_error = fma(n, 0x1.1a62633145c07p-54, -p);
  // Two-sum of first and -p.
  const double r = first - p;
  const double back = r - first;
  const double r_error = (first - (r - back)) + (-p - back);
  const double tail = (r_error - p_error) - n * -0x1.f1976b7ed8fbcp-110;
  return {r, tail, static_cast<int>(static_cast<std::int64_t>(n) & 3)};
}

/// sin(r + tail), |r| <= pi/4.
BITCYCLE_HD double sin_kernel(double r, double tail) {
  const double z = r * r;
  double p = 0x1.952c77030ad4ap-49;
  p = fma(p, z, -0x1.ae7f3e733b81fp-41);
  p = fma(p, z, 0x1.6124613a86d09p-33);
  p = fma(p, z, -0x1.ae64567f544e4p-26);
  p = fma(p, z, 0x1.71de3a556c734p-19);
  p = fma(p, z, -0x1.a01a01a01a01ap-13);
  p = fma(p, z, 0x1.1111111111111p-7);
  p = fma(p, z, -0x1.5555555555555p-3);
  const double cubic = fma(z * r, p, tail * fma(-0.5, z, 1.0));
  return r + cubic;
}

/// cos(r + tail), |r| <= pi/4.
BITCYCLE_HD double cos_kernel(double r, double tail) {
  const double z = r * r;
  double p = -0x1.6827863b97d97p-53;
  p = fma(p, z, 0x1.ae7f3e733b81fp-45);
  p = fma(p, z, -0x1.93974a8c07c9dp-37);
  p = fma(p, z, 0x1.1eed8eff8d898p-29);
  p = fma(p, z, -0x1.27e4fb7789f5cp-22);
  p = fma(p, z, 0x1.a01a01a01a01ap-16);
  p = fma(p, z, -0x1.6c16c16c16c17p-10);
  p = fma(p, z, 0x1.5555555555555p-5);
  const double half = 0.5 * z;
  const double head = 1.0 - half;
  const double head_error = (1.0 - head) - half;
  const double quartic = fma(z * z, p, -(r * tail));
  return head + (head_error + quartic);
}

/// cos(x), |x| <= 2^20.
BITCYCLE_HD double cos_f64(double x) {
  const ReducedAngle a = reduce_angle(x);
  if (a.quadrant == 0) return cos_kernel(a.r, a.tail);
  if (a.quadrant == 1) return -sin_kernel(a.r, a.tail);
  if (a.quadrant == 2) return -cos_kernel(a.r, a.tail);
  return sin_kernel(a.r, a.tail);
}

/// sin(x), |x| <= 2^20.
BITCYCLE_HD double sin_f64(double x) {
  const ReducedAngle a = reduce_angle(x);
  if (a.quadrant == 0) return sin_kernel(a.r, a.tail);
  if (a.quadrant == 1) return cos_kernel(a.r, a.tail);
  if (a.quadrant == 2) return -sin_kernel(a.r, a.tail);
  return -cos_kernel(a.r, a.tail);
}

/// exp(x); 0 below -745.2, infinity above 709.79, NaN for NaN.
BITCYCLE_HD double exp_f64(double x) {
  if (x != x) return x;
  if (x > 710.0) return HUGE_VAL;
  if (x < -746.0) return 0.0;
  // x = k ln2 + (r + tail); k * (high part of ln2) is exact.
  const double k = rint(x * 0x1.71547652b82fep+0);
  const double high = fma(-k, 0x1.62e42fee00000p-1, x);
  const double low = k * 0x1.a39ef35793c76p-33;
  const double r = high - low;
  const double tail = (high - r) - low;
  double p = 0x1.93974a8c07c9dp-37;
  p = fma(p, r, 0x1.6124613a86d09p-33);
  p = fma(p, r, 0x1.1eed8eff8d898p-29);
  p = fma(p, r, 0x1.ae64567f544e4p-26);
  p = fma(p, r, 0x1.27e4fb7789f5cp-22);
  p = fma(p, r, 0x1.71de3a556c734p-19);
  p = fma(p, r, 0x1.a01a01a01a01ap-16);
  p = fma(p, r, 0x1.a01a01a01a01ap-13);
  p = fma(p, r, 0x1.6c16c16c16c17p-10);
  p = fma(p, r, 0x1.1111111111111p-7);
  p = fma(p, r, 0x1.5555555555555p-5);
  p = fma(p, r, 0x1.5555555555555p-3);
  p = fma(p, r, 0.5);
  const double rest = fma(r * r, p, fma(tail, r, tail));
  return ldexp(1.0 + (r + rest), static_cast<int>(k));
}

/// log(x); -infinity for 0, NaN below 0 and for NaN, infinity for infinity.
BITCYCLE_HD double log_f64(double x) {
  if (x != x || x == HUGE_VAL) return x;
  if (x == 0.0) return -HUGE_VAL;
  if (x < 0.0) return (x - x) / (x - x);
  // x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = 2 atanh(s), s = f / (2 + f).
  int k = 0;
  double m = frexp(x, &k);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m = m * 2.0;
    k = k - 1;
  }
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 0x1.47ae147ae147bp-4;
  p = fma(p, z, 0x1.642c8590b2164p-4);
  p = fma(p, z, 0x1.8618618618618p-4);
  p = fma(p, z, 0x1.af286bca1af28p-4);
  p = fma(p, z, 0x1.e1e1e1e1e1e1ep-4);
  p = fma(p, z, 0x1.1111111111111p-3);
  p = fma(p, z, 0x1.3b13b13b13b14p-3);
  p = fma(p, z, 0x1.745d1745d1746p-3);
  p = fma(p, z, 0x1.c71c71c71c71cp-3);
  p = fma(p, z, 0x1.2492492492492p-2);
  p = fma(p, z, 0x1.999999999999ap-2);
  p = fma(p, z, 0x1.5555555555555p-1);
  const double series = z * p;
  // log(1 + f) = f - (f^2/2 - s (f^2/2 + series)).
  const double half = 0.5 * f * f;
  const double n = static_cast<double>(k);
  const double low = fma(s, half + series, n * 0x1.a39ef35793c76p-33);
  return n * 0x1.62e42fee00000p-1 - ((half - low) - f);
}

/// exp and log of binary32 arguments: the binary64 function, rounded once.
BITCYCLE_HD float exp_f32(float x) { return static_cast<float>(exp_f64(static_cast<double>(x))); }
BITCYCLE_HD float log_f32(float x) { return static_cast<float>(log_f64(static_cast<double>(x))); }

/// 1 / (1 + exp(-x)), in binary64 through the exponential of -|x|, rounded once; 0 and 1 at the infinities.
BITCYCLE_HD float sigmoid_f32(float x) {
  const double v = static_cast<double>(x);
  const double e = exp_f64(v < 0.0 ? v : -v);
  return static_cast<float>((v < 0.0 ? e : 1.0) / (1.0 + e));
}
/// tanh(x), in binary64, rounded once: (1 - e) / (1 + e), e = exp(-2 |x|), with the sign of x; x - x^3 / 3 below 2^-12,
/// where 1 - e would lose digits.
BITCYCLE_HD float tanh_f32(float x) {
  const double v = static_cast<double>(x);
  const double magnitude = v < 0.0 ? -v : v;
  if (magnitude == 0.0) return x;
  if (magnitude < 0x1p-12) return static_cast<float>(fma(v * v * v, -0x1.5555555555555p-2, v));
  const double e = exp_f64(-2.0 * magnitude);
  const double t = (1.0 - e) / (1.0 + e);
  return static_cast<float>(v < 0.0 ? -t : t);
}

}  // namespace bitcycle
