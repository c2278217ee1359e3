// SPDX-License-Identifier: Apache-2.0
// Affine records of activations and gradients: the running state of activations (docs/numerics.md, 2.5) and the
// gradient's range with or without zero on its grid (2.6, 2.7).
#pragma once

#include <cmath>

#include "sim/number/affine.h"
#include "sim/number/host_device.h"
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

/// Affine of a gradient. With zero_on_grid: s from [min(lo, 0), max(hi, 0)], then lo = fl(-s * rint(-lo / s)), in the
/// width's arithmetic; lo = 0 where s = 0.
BITCYCLE_HD Affine gradient_affine(Range r, BitWidth width, MinScale min_scale, bool zero_on_grid) {
  if (!zero_on_grid || width.is_float32()) return affine_of(r, width, min_scale);
  r.lo = r.lo < 0.0F ? r.lo : 0.0F;
  r.hi = r.hi > 0.0F ? r.hi : 0.0F;
  Affine affine = affine_of(r, width, min_scale);
  if (width.is_narrow()) {
    const auto s = static_cast<float>(affine.step);
    const float zero_code = s > 0.0F ? rintf(-r.lo / s) : 0.0F;
    affine.lo = static_cast<double>(0.0F - s * zero_code);  // never -0
  } else {
    const double zero_code = affine.step > 0.0 ? rint(-affine.lo / affine.step) : 0.0;
    affine.lo = 0.0 - affine.step * zero_code;
  }
  return affine;
}

}  // namespace bitcycle
