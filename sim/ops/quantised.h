// SPDX-License-Identifier: Apache-2.0
// Quantised: an operand of an integer product: codes, what they mean, and which of them share a grid.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/ops/groups.h"
#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Quantised {
  Tensor codes;  // codes8/16/32: unsigned, 0..2^b - 1; int32: signed, on the error pass's grid of constant width
  Tensor grid;   // grid (groups)
  Tensor width;  // width (); none for signed codes
  Groups groups;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, const char* codes, const char* grid, const char* width, Visit visit) {
    visit(codes, self.codes, Access::kRead);
    visit(grid, self.grid, Access::kRead);
    visit(width, self.width, Access::kRead);
  }
};

/// Codes, grid and width fit one another and `shape`.
void check(const Quantised& operand, const char* role, const std::vector<std::int64_t>& shape,
           const Operands& operands);

/// Codes of this step's samples as integers, whatever their container.
std::vector<std::int64_t> load_codes(const Quantised& operand, const StepMemory& memory);

}  // namespace bitcycle::ops
