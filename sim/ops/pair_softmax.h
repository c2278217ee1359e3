// SPDX-License-Identifier: Apache-2.0
// Softmax along the rows of pairs (docs/numerics.md, 6.14); sums along a row as in row_sum.h, in binary32; pairs that
// do not exist are no terms, and +0 in what is written:
//   pair_softmax           s = fl(x * scale), e = exp(fl(s - max s)), y = fl(e / sum e)
//   pair_softmax_gradient  d = sum fma(dy, y), dx = fl(fl(y * fl(dy - d)) * scale)
#pragma once

#include "sim/ops/op.h"
#include "sim/ops/pair_shape.h"

namespace bitcycle {

/// dx of one pair.
BITCYCLE_HD float softmax_error(float y, float dy, float d, float scale) { return y * (dy - d) * scale; }

}  // namespace bitcycle

namespace bitcycle::ops {

struct PairSoftmax {
  static constexpr const char* kName = "pair_softmax";
  Tensor x;  // float32, pairs
  PairShape shape;
  float scale = 1.0F;
  Tensor y;  // float32 as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct PairSoftmaxGradient {
  static constexpr const char* kName = "pair_softmax_gradient";
  Tensor y, dy;  // float32, pairs
  PairShape shape;
  float scale = 1.0F;
  Tensor dx;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("y", self.y, Access::kRead);
    visit("dy", self.dy, Access::kRead);
    visit("dx", self.dx, Access::kWrite);
  }
};

void check(const PairSoftmax& op, const Operands& operands);
void run(const PairSoftmax& op, const StepMemory& memory);
void check(const PairSoftmaxGradient& op, const Operands& operands);
void run(const PairSoftmaxGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
