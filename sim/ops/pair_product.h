// SPDX-License-Identifier: Apache-2.0
// Integer products of two activations (sim/ops/pair_shape.h; docs/numerics.md, 6.11):
//   pair_product  sums = sum over the terms that exist of lhs code * rhs code, exact integers (3)
//   pair_rescale  y = fl32(fma64(A, [lhs rhs], fma64(B, [lhs], E))), A = fl64(s_l*s_r), B = fl64(s_l*lo_r),
//                 E = fl64(lo_l * fma64(s_r, [rhs], fl64(lo_r*n))), n and the plain sums over the terms that exist; +0
//                 where none does
// Both operands have one grid. Overflow bound: |sum| <= (2^a - 1)(2^b - 1) * depth.
#pragma once

#include "sim/ops/pair_shape.h"
#include "sim/ops/quantised.h"

namespace bitcycle::ops {

struct PairProduct {
  static constexpr const char* kName = "pair_product";
  Quantised lhs, rhs;
  PairContraction over;
  Tensor sums;  // int32, int64 or int128, over.out_size()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("lhs", self.lhs.codes, Access::kRead);
    visit("lhs' width", self.lhs.width, Access::kRead);
    visit("rhs", self.rhs.codes, Access::kRead);
    visit("rhs' width", self.rhs.width, Access::kRead);
    visit("sums", self.sums, Access::kWrite);
  }
};

struct PairRescale {
  static constexpr const char* kName = "pair_rescale";
  Quantised lhs, rhs;
  PairContraction over;
  Tensor sums;
  Tensor y;  // float32, over.out_size()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    Quantised::each_tensor(self.lhs, "lhs", "lhs' grid", "lhs' width", visit);
    Quantised::each_tensor(self.rhs, "rhs", "rhs' grid", "rhs' width", visit);
    visit("sums", self.sums, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const PairProduct& op, const Operands& operands);
void run(const PairProduct& op, const StepMemory& memory);
void check(const PairRescale& op, const Operands& operands);
void run(const PairRescale& op, const StepMemory& memory);

/// Throws where extents are impossible: below 1, or causal with fewer columns than rows.
void check_pairs(const PairShape& shape, const Operands& operands);

}  // namespace bitcycle::ops
