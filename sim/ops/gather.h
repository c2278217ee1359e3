// SPDX-License-Identifier: Apache-2.0
// Rows of a table, an embedding (docs/numerics.md, 6.8):
//   gather           y(r, :) = table(token(r), :)
//   gather_gradient  dtable(v, :) = the sum of dy(r, :) over the rows r whose token is v, binary32, one sum ascending
//   by
//                    row from the first; +0 where there is none
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Gather {
  static constexpr const char* kName = "gather";
  Tensor table;   // float32 (words, ..., c)
  Tensor tokens;  // int32 (rows), 0..words-1
  Tensor y;       // float32 (rows, ..., c), or rows split over several axes

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("table", self.table, Access::kRead);
    visit("tokens", self.tokens, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct GatherGradient {
  static constexpr const char* kName = "gather_gradient";
  Tensor tokens;  // int32 (rows)
  Tensor dy;      // float32 (rows, ..., c)
  Tensor dtable;  // float32 (words, ..., c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("tokens", self.tokens, Access::kRead);
    visit("dy", self.dy, Access::kRead);
    visit("dtable", self.dtable, Access::kWrite);
  }
};

void check(const Gather& op, const Operands& operands);
void run(const Gather& op, const StepMemory& memory);
void check(const GatherGradient& op, const Operands& operands);
void run(const GatherGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
