// SPDX-License-Identifier: Apache-2.0
// The backward pass of batch normalisation (docs/numerics.md, 7.5), t = fl(y - mean):
//   norm_gradient_sums      S_u = sum of u, S_ut = sum of fl(u * t), on grids from U, a bound of |u|, and U * T
//   norm_parameter_gradient dgamma = fl32(r * S_ut), dbeta = fl32(S_u), and the coefficients of dy
//   norm_gradient           dy = fma(a, u, fma(k, t, c))
#pragma once

#include <cstdint>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct NormGradientSums {
  static constexpr const char* kName = "norm_gradient_sums";
  Tensor u, y;   // float32 (..., c)
  Tensor norm;   // norm (c)
  Tensor bound;  // (): U
  Tensor sums;   // norm gradient sums (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("u", self.u, Access::kRead);
    visit("y", self.y, Access::kRead);
    visit("norm", self.norm, Access::kRead);
    visit("bound", self.bound, Access::kRead);
    visit("sums", self.sums, Access::kWrite);
  }
};

struct NormParameterGradient {
  static constexpr const char* kName = "norm_parameter_gradient";
  Tensor sums;             // norm gradient sums (c)
  Tensor norm;             // norm (c)
  std::int64_t count = 0;  // addends a channel, at the whole batch
  Tensor gradient;         // norm gradient (c)
  Tensor dgamma, dbeta;    // float32 (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("sums", self.sums, Access::kRead);
    visit("norm", self.norm, Access::kRead);
    visit("gradient", self.gradient, Access::kWrite);
    visit("dgamma", self.dgamma, Access::kWrite);
    visit("dbeta", self.dbeta, Access::kWrite);
  }
};

struct NormGradient {
  static constexpr const char* kName = "norm_gradient";
  Tensor u, y;      // float32 (..., c)
  Tensor norm;      // norm (c)
  Tensor gradient;  // norm gradient (c)
  Tensor dy;        // float32 as y

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("u", self.u, Access::kRead);
    visit("y", self.y, Access::kRead);
    visit("norm", self.norm, Access::kRead);
    visit("gradient", self.gradient, Access::kRead);
    visit("dy", self.dy, Access::kWrite);
  }
};

void check(const NormGradientSums& op, const Operands& operands);
void run(const NormGradientSums& op, const StepMemory& memory);
void check(const NormParameterGradient& op, const Operands& operands);
void run(const NormParameterGradient& op, const StepMemory& memory);
void check(const NormGradient& op, const Operands& operands);
void run(const NormGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
