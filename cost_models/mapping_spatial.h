// SPDX-License-Identifier: Apache-2.0
// Which loops the rows and columns of a hierarchy's arrays take.
#pragma once

#include <vector>

#include "cost_models/product.h"

namespace bitcycle {

/// Trips of each array level, by loop.
using Spatial = std::vector<Extents>;

/// 1 for each loop.
Extents ones();
/// The few ways to fill all arrays that need the fewest steps, distinct ones.
std::vector<Spatial> spatial_choices(const Accelerator& accelerator, const Extents& size);

}  // namespace bitcycle
