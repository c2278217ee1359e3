// SPDX-License-Identifier: Apache-2.0
// The affine quantiser with zero on its grid, for gradients (docs/numerics.md, 2.7): one of the codes stands for
// exactly zero, so that gradients that are zero stay so.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "sim/number/host_device.h"
#include "sim/number/ordered_key.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

/// step rounded up so that its low `bits` bits are 0: its product with any code of that width is exact.
BITCYCLE_HD float round_up_step(float step, int bits) {
  const std::int32_t mask = (std::int32_t{1} << bits) - 1;
  return float_of_bits((bits_of(step) + mask) & ~mask);
}
BITCYCLE_HD double round_up_step(double step, int bits) {
  std::int64_t pattern = 0;
  std::memcpy(&pattern, &step, sizeof step);
  const std::int64_t mask = (std::int64_t{1} << bits) - 1;
  pattern = (pattern + mask) & ~mask;
  std::memcpy(&step, &pattern, sizeof step);
  return step;
}

/// s = the affine quantiser's step of [min(lo, 0), max(hi, 0)], rounded up; lo = 0 - s * rint(fl(-lo / s)) exactly.
BITCYCLE_HD Affine affine_with_zero_of(Range r, BitWidth width, MinScale min_scale) {
  if (width.is_float32()) return affine_of(r, width, min_scale);
  r.lo = r.lo < 0.0F ? r.lo : 0.0F;
  r.hi = r.hi > 0.0F ? r.hi : 0.0F;
  Affine affine = affine_of(r, width, min_scale);
  if (width.is_narrow()) {
    const float s = round_up_step(static_cast<float>(affine.step), width.bits());
    affine.step = static_cast<double>(s);
    affine.lo = static_cast<double>(0.0F - s * (s > 0.0F ? rintf(-r.lo / s) : 0.0F));
  } else {
    const double s = round_up_step(affine.step, width.bits());
    affine.step = s;
    affine.lo = 0.0 - s * (s > 0.0 ? rint(-affine.lo / s) : 0.0);
  }
  return affine;
}

}  // namespace bitcycle
