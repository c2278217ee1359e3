// SPDX-License-Identifier: Apache-2.0
// One time step of an LSTM layer behind its two products, elementwise in binary32, each operation rounded as written
// (docs/numerics.md, 6.9). With a = fl(x + h) the sums of both products, split along the channels into i, f, g, o:
//   i = sigmoid(a_i), f = sigmoid(a_f), g = tanh(a_g), o = sigmoid(a_o)
//   c' = fl(fl(f c) + fl(i g)), t = tanh(c'), h' = fl(o t)
// lstm_cell_gradient, with dc = fl(dc' + fl(fl(dh' o) fl(1 - fl(t t)))), without dc' where there is none:
//   d_i = fl(fl(dc g) fl(i fl(1 - i))), d_f = fl(fl(dc c) fl(f fl(1 - f))), d_g = fl(fl(dc i) fl(1 - fl(g g))),
//   d_o = fl(fl(dh' t) fl(o fl(1 - o))); the gradient at c is fl(dc f)
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct LstmCell {
  static constexpr const char* kName = "lstm_cell";
  Tensor x, h;       // float32 (n, ..., 4 c): results of both products, biases added
  Tensor cell;       // float32 (n, ..., c): c
  Tensor gates;      // float32 (n, ..., 4 c): i, f, g, o
  Tensor next_cell;  // float32 (n, ..., c): c'
  Tensor squashed;   // float32 (n, ..., c): t
  Tensor output;     // float32 (n, ..., c): h'

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("h", self.h, Access::kRead);
    visit("cell", self.cell, Access::kRead);
    visit("gates", self.gates, Access::kWrite);
    visit("next cell", self.next_cell, Access::kWrite);
    visit("squashed", self.squashed, Access::kWrite);
    visit("output", self.output, Access::kWrite);
  }
};

struct LstmCellGradient {
  static constexpr const char* kName = "lstm_cell_gradient";
  Tensor gates, cell, squashed;  // as of the cell
  Tensor doutput;                // float32 (n, ..., c)
  Tensor dnext_cell;             // float32 (n, ..., c); none behind the last time step
  Tensor dgates;                 // float32 (n, ..., 4 c): of both products' results
  Tensor dcell;                  // float32 (n, ..., c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("gates", self.gates, Access::kRead);
    visit("cell", self.cell, Access::kRead);
    visit("squashed", self.squashed, Access::kRead);
    visit("gradient at the output", self.doutput, Access::kRead);
    visit("gradient at the next cell", self.dnext_cell, Access::kRead);
    visit("gradient at the gates", self.dgates, Access::kWrite);
    visit("gradient at the cell", self.dcell, Access::kWrite);
  }
};

void check(const LstmCell& op, const Operands& operands);
void run(const LstmCell& op, const StepMemory& memory);
void check(const LstmCellGradient& op, const Operands& operands);
void run(const LstmCellGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
