// SPDX-License-Identifier: Apache-2.0
// sgd_update: stochastic gradient descent with momentum, elementwise, each operation rounded to binary32
// (docs/numerics.md, 9.1): d = g + wd*w; m = mu*m + d; w = w - lr*m. Nothing is done where `guard` holds 0 or more.
// Lists have one tensor a parameter; devices lay the tensors of a list side by side.
#pragma once

#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct SgdUpdate {
  static constexpr const char* kName = "sgd_update";
  std::vector<Tensor> gradients, momenta, parameters;  // float32
  Tensor rate;                                         // float32 (): lr
  Tensor guard;                                        // int64 (), or none
  float momentum = 0.0F, weight_decay = 0.0F;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("rate", self.rate, Access::kRead);
    visit("guard", self.guard, Access::kRead);
    for (auto& tensor : self.gradients) visit("gradients", tensor, Access::kRead);
    for (auto& tensor : self.momenta) visit("momenta", tensor, Access::kUpdate);
    for (auto& tensor : self.parameters) visit("parameters", tensor, Access::kUpdate);
  }
  template <typename Self, typename Visit>
  static void each_list(Self& self, Visit visit) {
    visit(self.gradients);
    visit(self.momenta);
    visit(self.parameters);
  }
};

void check(const SgdUpdate& op, const Operands& operands);
void run(const SgdUpdate& op, const StepMemory& memory);

}  // namespace bitcycle::ops
