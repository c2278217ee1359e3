// SPDX-License-Identifier: Apache-2.0
// The affine min-max quantiser of Cyclic Precision Training, one element at a time, shared by every library, and what
// every quantiser shares: a grid of codes q in 0..2^b-1, which stand for lo + step*q, the code of a value to nearest or
// with noise, and the value of a code. Rules: docs/numerics.md, section 2.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/bit_width.h"
#include "sim/number/host_device.h"
#include "sim/number/range.h"

namespace bitcycle {

/// What codes of a group mean: value = lo + step*q. Up to 16 bits lo and step hold binary32 values.
struct Affine {
  double lo = 0.0;
  double step = 1.0;
  std::uint32_t max_code = 0;    // 2^b - 1; 0 for float32
  std::uint32_t step_bound = 0;  // 1 where min_scale was larger than the group's own step
};

/// Lower bound of the step: the paper's 1e-8 up to 16 bits; from 17 bits `wide` (default 0).
struct MinScale {
  float narrow = 1e-8F;
  double wide = 0.0;
};

/// Affine of a group with the given minimum and range = hi - lo.
///   b <= 16: step = max(fl32(range / (2^b - 1)), min_scale.narrow), in binary32
///   b >= 17: step = max(fl64(range / (2^b - 1)), min_scale.wide), range = fl64(hi - lo), in binary64
BITCYCLE_HD Affine affine_of(double lo, double range, BitWidth width, MinScale min_scale) {
  Affine affine;
  affine.max_code = width.max_code();
  if (width.is_float32()) {
    affine.lo = 0.0;
    affine.step = 1.0;
    return affine;
  }
  affine.lo = lo;
  if (width.is_narrow()) {
    const float own = static_cast<float>(range) / static_cast<float>(affine.max_code);
    affine.step_bound = own < min_scale.narrow ? 1U : 0U;
    affine.step = static_cast<double>(own < min_scale.narrow ? min_scale.narrow : own);
  } else {
    const double own = range / static_cast<double>(affine.max_code);
    affine.step_bound = own < min_scale.wide ? 1U : 0U;
    affine.step = own < min_scale.wide ? min_scale.wide : own;
  }
  return affine;
}

/// hi - lo as the width's arithmetic has it: one binary32 subtraction up to 16 bits, binary64 above.
BITCYCLE_HD double range_of(Range r, BitWidth width) {
  if (width.is_narrow()) return static_cast<double>(r.hi - r.lo);
  return static_cast<double>(r.hi) - static_cast<double>(r.lo);
}

BITCYCLE_HD Affine affine_of(Range r, BitWidth width, MinScale min_scale) {
  return affine_of(static_cast<double>(r.lo), range_of(r, width), width, min_scale);
}

/// Code of x, widths up to 16: v = fl((x - lo) / step); v = fl(v + u); q = rint(clamp(v, 0, 2^b-1)),
/// every arrow one binary32 operation, ties to even. u = 0 for nearest rounding (adding +0 changes
/// nothing that the clamp does not remove). NaN becomes 0: non-finite values are found by their exponents.
BITCYCLE_HD std::uint32_t quantise_narrow(float x, float lo, float step, float max_code, float u) {
  float v = (x - lo) / step;
  v = v + u;
  v = v > 0.0F ? v : 0.0F;
  v = v > max_code ? max_code : v;
  return static_cast<std::uint32_t>(rintf(v));
}

/// Code of x, widths 17..32, in binary64; the clamp is on the rounded integer; q = 0 where step = 0.
BITCYCLE_HD std::uint32_t quantise_wide(float x, const Affine& affine, double u) {
  if (!(affine.step > 0.0)) return 0;
  double v = (static_cast<double>(x) - affine.lo) / affine.step;
  v = rint(v + u);
  if (!(v > 0.0)) return 0;
  if (v > static_cast<double>(affine.max_code)) return affine.max_code;
  return static_cast<std::uint32_t>(v);
}

/// Code of x at any integer width. `u` in [-0.5, 0.5), 0 for nearest.
BITCYCLE_HD std::uint32_t quantise(float x, const Affine& affine, BitWidth width, float u) {
  if (width.is_narrow()) {
    return quantise_narrow(x, static_cast<float>(affine.lo), static_cast<float>(affine.step),
                           static_cast<float>(affine.max_code), u);
  }
  return quantise_wide(x, affine, static_cast<double>(u));
}

/// Value of a code in binary64: fma(step, q, lo).
BITCYCLE_HD double dequantise(std::uint32_t q, const Affine& affine) {
  return fma(affine.step, static_cast<double>(q), affine.lo);
}

}  // namespace bitcycle
