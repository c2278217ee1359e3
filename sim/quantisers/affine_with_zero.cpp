// SPDX-License-Identifier: Apache-2.0
#include "sim/quantisers/affine_with_zero.h"

#include "sim/quantisers/quantiser.h"

namespace bitcycle {
namespace {

Affine grid(Range range, BitWidth width, MinScale min_scale) { return affine_with_zero_of(range, width, min_scale); }

Affine running_grid(float zero_point, float range, BitWidth width, MinScale min_scale) {
  return affine_with_zero_of({zero_point, zero_point + range}, width, min_scale);
}

}  // namespace

extern const bool affine_with_zero_quantiser_registered;
const bool affine_with_zero_quantiser_registered = register_quantiser(kAffineWithZero, {grid, running_grid});

}  // namespace bitcycle
