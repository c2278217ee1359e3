// SPDX-License-Identifier: Apache-2.0
// bias_gradient: the sum of each channel over all rows, on a grid from a bound of |dy| (docs/numerics.md, 6.2 and 7.1).
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct BiasGradient {
  static constexpr const char* kName = "bias_gradient";
  Tensor dy;     // float32 (..., c)
  Tensor bound;  // ()
  Tensor dbias;  // float32 (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("dy", self.dy, Access::kRead);
    visit("bound", self.bound, Access::kRead);
    visit("dbias", self.dbias, Access::kWrite);
  }
};

void check(const BiasGradient& op, const Operands& operands);
void run(const BiasGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
