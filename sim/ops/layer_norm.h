// SPDX-License-Identifier: Apache-2.0
// Layer normalisation of rows of c values (docs/numerics.md, 6.13); sums along a row as in row_sum.h, in binary64:
//   layer_norm           mean = fl64(sum x / c), t = fl64(x - mean), variance = fl64(sum fma64(t, t) / c);
//                        m = fl32(mean), r = fl32(1 / sqrt(variance + eps)); n = fl(fl(x - m) * r),
//                        y = fma(n, gamma, beta). m and r are kept
//   layer_norm_gradient  u = fl(dy * gamma), a = fl32(sum u / c), b = fl32(sum fma64(u, n) / c),
//                        dx = fl(r * fma(-n, b, fl(u - a)))
//   layer_norm_parameter_gradient
//                        dgamma = sum over rows of fl(dy * n), on a grid from 2 |dy| sqrt(c); dbeta = sum of dy, on a
//                        grid from |dy| (7.1): |n| is at most sqrt(c)
#pragma once

#include <cmath>

#include "sim/ops/op.h"
#include "sim/ops/row_sum.h"

namespace bitcycle {

struct RowStatistics {
  float mean = 0.0F, inverse_deviation = 0.0F;
};

BITCYCLE_HD float layer_norm_value(float x, const RowStatistics& of) { return (x - of.mean) * of.inverse_deviation; }

BITCYCLE_HD RowStatistics row_statistics(double mean, double variance, double eps) {
  return {static_cast<float>(mean), static_cast<float>(1.0 / sqrt(variance + eps))};
}

/// The bound of |dy * n| that dgamma's grid is taken from.
BITCYCLE_HD double layer_norm_bound(double dy, std::int64_t c) { return 2.0 * (dy * sqrt(static_cast<double>(c))); }

}  // namespace bitcycle

namespace bitcycle::ops {

struct LayerNorm {
  static constexpr const char* kName = "layer_norm";
  Tensor x;            // float32 (rows, ..., c)
  Tensor gamma, beta;  // float32 (c)
  double eps = 1e-5;
  Tensor statistics;  // float32 (rows, 2): m, r
  Tensor y;           // float32 as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("gamma", self.gamma, Access::kRead);
    visit("beta", self.beta, Access::kRead);
    visit("statistics", self.statistics, Access::kWrite);
    visit("y", self.y, Access::kWrite);
  }
};

struct LayerNormGradient {
  static constexpr const char* kName = "layer_norm_gradient";
  Tensor x, statistics, gamma;
  Tensor dy;  // float32 as x
  Tensor dx;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("statistics", self.statistics, Access::kRead);
    visit("gamma", self.gamma, Access::kRead);
    visit("dy", self.dy, Access::kRead);
    visit("dx", self.dx, Access::kWrite);
  }
};

struct LayerNormParameterGradient {
  static constexpr const char* kName = "layer_norm_parameter_gradient";
  Tensor x, statistics;
  Tensor dy;
  Tensor bound;          // of |dy|, ()
  Tensor dgamma, dbeta;  // float32 (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("statistics", self.statistics, Access::kRead);
    visit("dy", self.dy, Access::kRead);
    visit("bound", self.bound, Access::kRead);
    visit("dgamma", self.dgamma, Access::kWrite);
    visit("dbeta", self.dbeta, Access::kWrite);
  }
};

void check(const LayerNorm& op, const Operands& operands);
void run(const LayerNorm& op, const StepMemory& memory);
void check(const LayerNormGradient& op, const Operands& operands);
void run(const LayerNormGradient& op, const StepMemory& memory);
void check(const LayerNormParameterGradient& op, const Operands& operands);
void run(const LayerNormParameterGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
