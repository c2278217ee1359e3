// SPDX-License-Identifier: Apache-2.0
// range: exact minimum and maximum of each group, -0 counted as +0; 0, 0 of an empty one (docs/numerics.md, 2.1, 11.1).
#pragma once

#include "sim/ops/groups.h"
#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Range {
  static constexpr const char* kName = "range";
  Tensor x;       // float32
  Tensor ranges;  // range (groups)
  Groups groups;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("ranges", self.ranges, Access::kWrite);
  }
};

void check(const Range& op, const Operands& operands);
void run(const Range& op, const StepMemory& memory);

}  // namespace bitcycle::ops
