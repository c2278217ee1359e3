// SPDX-License-Identifier: Apache-2.0
// The common norm of all gradients, and what clipping by it multiplies them with (docs/numerics.md, 9.3).
#pragma once

#include <algorithm>
#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

/// sqrt of the sum of all squares, on a grid from the largest magnitude (7.1). A square of a binary32 number is exact
/// in binary64; on the grid it loses what lies 50 bits or more below the largest.
double gradient_norm(const std::vector<Tensor>& gradients, const StepMemory& memory);

/// fl32(min(1, clip / (norm + 1e-6))); 1 where clip is 0.
inline float clip_factor(double clip, double norm) {
  return clip > 0.0 ? static_cast<float>(std::min(1.0, clip / (norm + 1e-6))) : 1.0F;
}

}  // namespace bitcycle::ops
