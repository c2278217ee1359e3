// SPDX-License-Identifier: Apache-2.0
// float_product: a product of values in binary32 with a written order (docs/numerics.md, 6.2). Forward and error pass:
// one fma sum an element from +0 over kh, kw, channel. Weight gradient: one fma sum a sample over output positions
// in ascending order, the samples' results summed on a grid from `bound`, a bound of any sample's result (7.1).
#pragma once

#include "sim/ops/contraction.h"
#include "sim/ops/op.h"

namespace bitcycle::ops {

struct FloatProduct {
  static constexpr const char* kName = "float_product";
  Tensor lhs, rhs;  // float32
  Contraction over;
  Tensor bound;  // float64 (), weight gradient only
  Tensor y;      // float32, over.out_shape()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("lhs", self.lhs, Access::kRead);
    visit("rhs", self.rhs, Access::kRead);
    visit("bound", self.bound, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const FloatProduct& op, const Operands& operands);
void run(const FloatProduct& op, const StepMemory& memory);

}  // namespace bitcycle::ops
