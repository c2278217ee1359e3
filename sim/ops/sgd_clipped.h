// SPDX-License-Identifier: Apache-2.0
// sgd_clipped: stochastic gradient descent without momentum, the gradients clipped by their common norm
// (docs/numerics.md, 9.3), elementwise in binary32:
//   norm = fl64(sqrt(S)), S the sum of the squares of all gradients on a grid from their largest magnitude (7.1)
//   factor = fl32(min(1, fl64(clip / fl64(norm + 1e-6))));  w = fl(w - fl(lr fl(g factor)))
// Nothing is done where `guard` holds 0 or more. Lists have one tensor a parameter.
#pragma once

#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct SgdClipped {
  static constexpr const char* kName = "sgd_clipped";
  std::vector<Tensor> gradients, parameters;  // float32
  Tensor rate;                                // float32 (): lr
  Tensor guard;                               // int64 (), or none
  Tensor norm;                                // float64 ()
  double clip = 0.0;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("rate", self.rate, Access::kRead);
    visit("guard", self.guard, Access::kRead);
    for (auto& tensor : self.gradients) visit("gradients", tensor, Access::kRead);
    visit("norm", self.norm, Access::kWrite);
    for (auto& tensor : self.parameters) visit("parameters", tensor, Access::kUpdate);
  }
  template <typename Self, typename Visit>
  static void each_list(Self& self, Visit visit) {
    visit(self.gradients);
    visit(self.parameters);
  }
};

void check(const SgdClipped& op, const Operands& operands);
void run(const SgdClipped& op, const StepMemory& memory);

}  // namespace bitcycle::ops
