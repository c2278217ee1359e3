// SPDX-License-Identifier: Apache-2.0
// average_pool: one ascending sum from +0 over positions, one division by their number; its gradient is
// fl(d / positions) at each (docs/numerics.md, 6.5).
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct AveragePool {
  static constexpr const char* kName = "average_pool";
  Tensor x;       // float32 (n, h, w, c)
  Tensor pooled;  // float32 (n, 1, 1, c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("pooled", self.pooled, Access::kWrite);
  }
};

struct AveragePoolGradient {
  static constexpr const char* kName = "average_pool_gradient";
  Tensor dpooled;  // float32 (n, 1, 1, c)
  Tensor dx;       // float32 (n, h, w, c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("dpooled", self.dpooled, Access::kRead);
    visit("dx", self.dx, Access::kWrite);
  }
};

void check(const AveragePool& op, const Operands& operands);
void run(const AveragePool& op, const StepMemory& memory);
void check(const AveragePoolGradient& op, const Operands& operands);
void run(const AveragePoolGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
