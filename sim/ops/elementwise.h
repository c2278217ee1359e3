// SPDX-License-Identifier: Apache-2.0
// Elementwise operations on binary32 tensors of one shape (docs/numerics.md, 6.1, 6.6, 7.6):
//   add            z = fl(a + b)
//   relu           z = x > 0 ? x : +0, and which elements were positive
//   relu_gradient  dx = positive ? dz : +0
//   add_bias       y = fl(x + bias), one bias a channel of the last axis
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Add {
  static constexpr const char* kName = "add";
  Tensor a, b, z;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("a", self.a, Access::kRead);
    visit("b", self.b, Access::kRead);
    visit("z", self.z, Access::kWrite);
  }
};

struct Relu {
  static constexpr const char* kName = "relu";
  Tensor x, z;
  Tensor positive;  // bit, as x; or none

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("z", self.z, Access::kWrite);
    visit("positive", self.positive, Access::kWrite);
  }
};

struct ReluGradient {
  static constexpr const char* kName = "relu_gradient";
  Tensor dz;
  Tensor positive;  // bit, as dz
  Tensor dx;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("dz", self.dz, Access::kRead);
    visit("positive", self.positive, Access::kRead);
    visit("dx", self.dx, Access::kWrite);
  }
};

struct AddBias {
  static constexpr const char* kName = "add_bias";
  Tensor x;     // float32 (..., c)
  Tensor bias;  // float32 (c)
  Tensor y;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("bias", self.bias, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const Add& op, const Operands& operands);
void run(const Add& op, const StepMemory& memory);
void check(const Relu& op, const Operands& operands);
void run(const Relu& op, const StepMemory& memory);
void check(const ReluGradient& op, const Operands& operands);
void run(const ReluGradient& op, const StepMemory& memory);
void check(const AddBias& op, const Operands& operands);
void run(const AddBias& op, const StepMemory& memory);

}  // namespace bitcycle::ops
