// SPDX-License-Identifier: Apache-2.0
// Affine records of activations and gradients: the running state of activations (docs/numerics.md, 2.5) and the
// gradient's range with or without zero on its grid (2.6, 2.7).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "sim/number/affine.h"
#include "sim/number/host_device.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/norm.h"

namespace bitcycle {

/// Running state of one activation tensor, {zero point, range}: new = fl(fl(0.9*old) + fl(0.1*now)).
BITCYCLE_HD void update_running_range(float* running, Range now) {
  running[0] = running_update(running[0], now.lo);
  running[1] = running_update(running[1], now.hi - now.lo);
}

/// Evaluation: lo = running zero point, s = max(running range / (2^b - 1), min_scale).
BITCYCLE_HD Affine running_affine(const float* running, BitWidth width, MinScale min_scale) {
  return affine_of(static_cast<double>(running[0]), static_cast<double>(running[1]), width, min_scale);
}

/// step rounded up so that its low `bits` bits are 0: its product with any code of that width is exact (2.7).
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

/// Affine of a gradient (2.6). With zero_on_grid (2.7): s from [min(lo, 0), max(hi, 0)], rounded up;
/// lo = 0 - s * rint(fl(-lo / s)) exactly, so that 0 is a code.
BITCYCLE_HD Affine gradient_affine(Range r, BitWidth width, MinScale min_scale, bool zero_on_grid) {
  if (!zero_on_grid || width.is_float32()) return affine_of(r, width, min_scale);
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
