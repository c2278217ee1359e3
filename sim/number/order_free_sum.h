// SPDX-License-Identifier: Apache-2.0
// Sums that do not depend on order: every addend is rounded to a power-of-two grid taken from a bound
// known beforehand, and the integers are summed. Rules: docs/numerics.md, section 7.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

/// Smallest e with bound <= 2^e; 0 for bound = 0. bound is finite and not negative.
BITCYCLE_HD int exponent_above(double bound) {
  if (!(bound > 0.0)) return 0;
  int e = 0;
  const double fraction = frexp(bound, &e);  // bound = fraction * 2^e, fraction in [0.5, 1)
  return fraction == 0.5 ? e - 1 : e;
}

/// Smallest k with count <= 2^k.
BITCYCLE_HD int ceil_log2(std::uint64_t count) {
  int k = 0;
  while (k < 63 && (std::uint64_t{1} << k) < count) ++k;
  return k;
}

/// 2^e as binary32, e in -126..127.
BITCYCLE_HD float power_of_two(int e) { return ldexpf(1.0F, e); }

BITCYCLE_HD int clamp_exponent(int e) { return e < -126 ? -126 : (e > 127 ? 127 : e); }

/// Grid of a first-moment sum of `count` addends |x| <= bound: addends become q = rint(x * 2^e) with
/// |q| <= 2^b, b = min(50, 61 - ceil_log2(count)), so that the int64 sum cannot overflow.
BITCYCLE_HD int sum_exponent(double bound, std::uint64_t count) {
  const int room = 61 - ceil_log2(count);
  return clamp_exponent((room < 50 ? room : 50) - exponent_above(bound));
}

/// Grid of a second-moment sum: |q| <= 2^b, b = min(22, (62 - ceil_log2(count)) / 2), so that the sums
/// of q and of q^2 both fit 63 bits.
BITCYCLE_HD int moment_exponent(double bound, std::uint64_t count) {
  const int room = (62 - ceil_log2(count)) / 2;
  return clamp_exponent((room < 22 ? room : 22) - exponent_above(bound));
}

/// One addend on the grid: rint(fl32(x * 2^e)). The product is exact wherever it does not round to 0.
/// What is not finite becomes the smallest integer: its sum is never used, because the step ends with an error.
BITCYCLE_HD std::int64_t on_grid(float x, float two_to_e) {
  const float r = rintf(x * two_to_e);
  return r >= -0x1p62F && r <= 0x1p62F ? static_cast<std::int64_t>(r) : INT64_MIN;
}

/// sum += q, modulo 2^64: sums of finite addends never wrap, those of others may.
BITCYCLE_HD void add_wrapping(std::int64_t& sum, std::int64_t q) {
  sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) + static_cast<std::uint64_t>(q));
}

/// Value of a sum: the integer rounded once to binary64, times 2^-e (exact).
BITCYCLE_HD double sum_value(std::int64_t sum, int e) { return ldexp(static_cast<double>(sum), -e); }

}  // namespace bitcycle
