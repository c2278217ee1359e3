// SPDX-License-Identifier: Apache-2.0
// error_codes: the values of the forward codes of weights on one signed grid a tensor, for the error pass with
// `shared` weights (docs/numerics.md, 5.1): v = fma64(step, q, lo); G = fl64(max|v| / (2^(B-1) - 1)); code =
// rint(fl64(v / G)), 0 where G = 0.
#pragma once

#include "sim/ops/quantised.h"

namespace bitcycle::ops {

struct ErrorCodes {
  static constexpr const char* kName = "error_codes";
  Quantised weights;
  int bits = 16;  // B
  Tensor codes;   // int32, as the weights' codes
  Tensor grid;    // grid (): lo = 0, step = G, max_code = 2^(B-1) - 1

  Quantised result() const { return {codes, grid, {}, {}}; }
  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    Quantised::each_tensor(self.weights, "weights", "weights' grid", "weights' width", visit);
    visit("codes", self.codes, Access::kWrite);
    visit("grid", self.grid, Access::kWrite);
  }
};

void check(const ErrorCodes& op, const Operands& operands);
void run(const ErrorCodes& op, const StepMemory& memory);

}  // namespace bitcycle::ops
