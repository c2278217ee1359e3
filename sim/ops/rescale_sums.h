// SPDX-License-Identifier: Apache-2.0
// rescale: exact integer sums to a value, in binary64 in one written order, rounded once (docs/numerics.md, 4):
//   forward, error   y = fl32(fma64(A, [lhs rhs], fma64(B, [lhs], E))), A = fl64(s_l*s_r), B = fl64(s_l*lo_r),
//                    E = fl64(lo_l * fma64(s_r, [rhs], fl64(lo_r*n)))                      (4.2, 4.3)
//   rhs without an offset (signed codes; then there are no sums of lhs)
//                    y = fl32(fma64(A, [lhs rhs], E)), E = fl64(fl64(lo_l*s_r) * [rhs])   (4.4)
//   weight gradient  y = fl32(fma64(A, [lhs rhs], fma64(B, [rhs], fma64(C, [lhs], D)))), lhs = x, rhs = g,
//                    A = fl64(s_r*s_l), B = fl64(s_r*lo_l), C = fl64(lo_r*s_l), D = fl64(fl64(lo_r*lo_l)*n) (4.5)
// Groups of rhs are output channels forward, input channels in the error pass; lhs has one.
#pragma once

#include "sim/ops/contraction.h"
#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Rescale {
  static constexpr const char* kName = "rescale";
  Contraction over;
  Tensor sums;                // of a product
  Tensor lhs_sums, rhs_sums;  // of code_sums; lhs_sums: none where rhs has no offset
  Tensor lhs_grid, rhs_grid;
  Tensor y;  // float32, over.out_shape()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("sums", self.sums, Access::kRead);
    visit("lhs' sums", self.lhs_sums, Access::kRead);
    visit("rhs' sums", self.rhs_sums, Access::kRead);
    visit("lhs' grid", self.lhs_grid, Access::kRead);
    visit("rhs' grid", self.rhs_grid, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const Rescale& op, const Operands& operands);
void run(const Rescale& op, const StepMemory& memory);

}  // namespace bitcycle::ops
