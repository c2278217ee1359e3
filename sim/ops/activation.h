// SPDX-License-Identifier: Apache-2.0
// Affine records of activations and gradients: the running state of activations (docs/numerics.md, 2.5) and the
// gradient's grid with or without zero on it (2.6, 2.7).
#pragma once

#include "sim/number/host_device.h"
#include "sim/ops/norm.h"
#include "sim/quantisers/affine.h"
#include "sim/quantisers/affine_with_zero.h"

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

/// Grid of a gradient (2.6), with zero on it or not (2.7).
BITCYCLE_HD Affine gradient_affine(Range r, BitWidth width, MinScale min_scale, bool zero_on_grid) {
  return zero_on_grid ? affine_with_zero_of(r, width, min_scale) : affine_of(r, width, min_scale);
}

}  // namespace bitcycle
