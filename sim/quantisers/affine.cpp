// SPDX-License-Identifier: Apache-2.0
// Quantiser `affine`: lo = min, step = max((max - min) / (2^b - 1), min_scale) (docs/numerics.md, 2.3).
#include "sim/quantisers/affine.h"

#include "sim/quantisers/quantiser.h"

namespace bitcycle {
namespace {

Affine grid(Range range, BitWidth width, MinScale min_scale) { return affine_of(range, width, min_scale); }

Affine running_grid(float zero_point, float range, BitWidth width, MinScale min_scale) {
  return affine_of(static_cast<double>(zero_point), static_cast<double>(range), width, min_scale);
}

}  // namespace

extern const bool affine_quantiser_registered;
const bool affine_quantiser_registered = register_quantiser(kAffine, {grid, running_grid});

}  // namespace bitcycle
