// SPDX-License-Identifier: Apache-2.0
// The signed grid of the error pass with `shared` weights: the values of the forward codes on one step a tensor
// (docs/numerics.md, 5.1).
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

/// 2^(B-1) - 1, the largest code of a B-bit grid.
BITCYCLE_HD double error_grid_max(int bits) { return static_cast<double>((std::int64_t{1} << (bits - 1)) - 1); }

/// G = fl64(max|v| / (2^(B-1) - 1)).
BITCYCLE_HD double error_grid_step(double max_magnitude, int bits) { return max_magnitude / error_grid_max(bits); }

/// w_G = rint(fl64(v / G)); 0 where G = 0.
BITCYCLE_HD std::int32_t error_grid_code(double value, double step) {
  if (!(step > 0.0)) return 0;
  return static_cast<std::int32_t>(rint(value / step));
}

}  // namespace bitcycle
