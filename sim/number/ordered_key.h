// SPDX-License-Identifier: Apache-2.0
// Extremes of binary32 numbers through int32 keys of the same order, so that every instruction set finds the same
// minimum and maximum and a NaN is seen instead of dropped (docs/numerics.md, 2.1 and 11.1).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "sim/number/host_device.h"
#include "sim/number/range.h"

namespace bitcycle {

BITCYCLE_HD std::int32_t bits_of(float x) {
  std::int32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

BITCYCLE_HD float float_of_bits(std::int32_t bits) {
  float x = 0.0F;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// Key of x, -0 as +0: x < y exactly where key(x) < key(y); -NaN < -infinity, +NaN > +infinity.
BITCYCLE_HD std::int32_t ordered_key(float x) {
  const std::int32_t bits = bits_of(x);
  if (bits == INT32_MIN) return 0;
  return bits >= 0 ? bits : bits ^ INT32_MAX;
}

/// The number of a key; its own inverse but for -0.
BITCYCLE_HD float float_of_key(std::int32_t key) { return float_of_bits(key >= 0 ? key : key ^ INT32_MAX); }

/// A value is finite where its exponent bits are not all ones.
BITCYCLE_HD bool is_finite_bits(float x) { return (bits_of(x) & 0x7F800000) != 0x7F800000; }

/// Extremes of the keys seen; without any, the range is 0, 0.
struct KeyRange {
  std::int32_t lo = INT32_MAX;
  std::int32_t hi = INT32_MIN;
};

BITCYCLE_HD void include_key(KeyRange& range, std::int32_t key) {
  range.lo = key < range.lo ? key : range.lo;
  range.hi = key > range.hi ? key : range.hi;
}

BITCYCLE_HD void include(KeyRange& range, float x) { include_key(range, ordered_key(x)); }

/// Union; empty ranges add nothing.
BITCYCLE_HD void include(KeyRange& range, const KeyRange& other) {
  range.lo = other.lo < range.lo ? other.lo : range.lo;
  range.hi = other.hi > range.hi ? other.hi : range.hi;
}

BITCYCLE_HD Range range_of_keys(const KeyRange& keys) {
  if (keys.lo > keys.hi) return {};
  return {float_of_key(keys.lo), float_of_key(keys.hi)};
}

/// Magnitude as a key of the same order: the bits of |x|, NaN above infinity.
BITCYCLE_HD std::int32_t magnitude_key(float x) { return bits_of(x) & INT32_MAX; }

/// max(|lo|, |hi|), NaN where either is one.
BITCYCLE_HD float magnitude_of(Range r) {
  const std::int32_t lo = magnitude_key(r.lo), hi = magnitude_key(r.hi);
  return float_of_bits(lo > hi ? lo : hi);
}

}  // namespace bitcycle
