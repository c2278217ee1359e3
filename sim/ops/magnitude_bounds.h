// SPDX-License-Identifier: Apache-2.0
// Bounds of magnitudes, in binary64, left to right; grids of order-free sums are taken from them (docs/numerics.md, 7).
//   product_bound  depth * X * W, twice that where a sum rounds; X, W: max(|lo|, |fma64(s, 2^b - 1, lo)|) of a grid,
//                  max(|lo|, |hi|) of a range; one a group of rhs, or the largest of them (7.2, 7.6)
//   magnitude      the exact largest |x|, through keys of the same order, so that a NaN is seen
//   sum_bound      fl64(a + b), of a sum whose parts are below a and b (7.6)
// A bound is float64, or float32 where it is an exact magnitude.
#pragma once

#include <cstdint>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct ProductBound {
  static constexpr const char* kName = "product_bound";
  Tensor lhs_grid, lhs_range, lhs_magnitude;  // one of them, one group
  Tensor rhs_grid, rhs_range, rhs_magnitude;  // one of them
  std::int64_t depth = 0;
  bool rounds = false;
  Tensor bound;  // float64, one a group of rhs, or one

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("lhs' grid", self.lhs_grid, Access::kRead);
    visit("lhs' range", self.lhs_range, Access::kRead);
    visit("lhs' magnitude", self.lhs_magnitude, Access::kRead);
    visit("rhs' grid", self.rhs_grid, Access::kRead);
    visit("rhs' range", self.rhs_range, Access::kRead);
    visit("rhs' magnitude", self.rhs_magnitude, Access::kRead);
    visit("bound", self.bound, Access::kWrite);
  }
};

struct Magnitude {
  static constexpr const char* kName = "magnitude";
  Tensor x;      // float32
  Tensor bound;  // float32 ()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("bound", self.bound, Access::kWrite);
  }
};

struct SumBound {
  static constexpr const char* kName = "sum_bound";
  Tensor a, b;   // bounds
  Tensor bound;  // float64 ()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("a", self.a, Access::kRead);
    visit("b", self.b, Access::kRead);
    visit("bound", self.bound, Access::kWrite);
  }
};

void check(const ProductBound& op, const Operands& operands);
void run(const ProductBound& op, const StepMemory& memory);
void check(const Magnitude& op, const Operands& operands);
void run(const Magnitude& op, const StepMemory& memory);
void check(const SumBound& op, const Operands& operands);
void run(const SumBound& op, const StepMemory& memory);

/// A single bound of either element type.
void check_bound(Tensor bound, const char* role, const Operands& operands);
double bound_value(Tensor bound, const StepMemory& memory);

}  // namespace bitcycle::ops
