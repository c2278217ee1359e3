// SPDX-License-Identifier: Apache-2.0
// Products of two activations in binary32, and the range of pairs (sim/ops/pair_shape.h; docs/numerics.md, 6.11):
//   pair_float_product  y = one fma sum from +0 over the terms that exist, ascending; +0 where there is none
//   pair_range          exact minimum and maximum of the pairs that exist, -0 counted as +0; with `from_zero` the
//   minimum
//                       is at most 0: of probabilities, whose smallest value is 0 by definition
#pragma once

#include "sim/ops/op.h"
#include "sim/ops/pair_shape.h"

namespace bitcycle::ops {

struct PairFloatProduct {
  static constexpr const char* kName = "pair_float_product";
  Tensor lhs, rhs;  // float32
  PairContraction over;
  Tensor y;  // float32, over.out_size()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("lhs", self.lhs, Access::kRead);
    visit("rhs", self.rhs, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct PairRange {
  static constexpr const char* kName = "pair_range";
  Tensor x;  // float32, pairs
  PairShape shape;
  bool from_zero = false;
  Tensor range;  // range ()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("range", self.range, Access::kWrite);
  }
};

void check(const PairFloatProduct& op, const Operands& operands);
void run(const PairFloatProduct& op, const StepMemory& memory);
void check(const PairRange& op, const Operands& operands);
void run(const PairRange& op, const StepMemory& memory);

}  // namespace bitcycle::ops
