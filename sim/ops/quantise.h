// SPDX-License-Identifier: Apache-2.0
// quantise: values to codes, q = rint(clamp((x - lo) / step + u, 0, 2^b - 1)) in the arithmetic of the width
// (docs/numerics.md, 2.2); u = 0 to nearest, the noise of 8.2 stochastically, or given noise.
// dequantise: codes to values, fl(fma64(step, q, lo)), for products with a float32 operand (1.5).
#pragma once

#include <cstdint>

#include "sim/ops/quantised.h"

namespace bitcycle::ops {

struct Quantise {
  static constexpr const char* kName = "quantise";
  Tensor x;      // float32
  Tensor grid;   // grid (groups)
  Tensor width;  // width ()
  Tensor codes;  // as x
  Groups groups;
  enum class Rounding : std::uint8_t { kNearest, kStochastic, kGivenNoise } rounding = Rounding::kNearest;
  Tensor step;   // uint32 (), stochastic: the step's number
  Tensor noise;  // float32 as x, given noise
  std::uint64_t seed = 0;
  std::uint32_t tensor_id = 0;

  Quantised result() const { return {codes, grid, width, groups}; }
  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("grid", self.grid, Access::kRead);
    visit("width", self.width, Access::kRead);
    visit("step", self.step, Access::kRead);
    visit("noise", self.noise, Access::kRead);
    visit("codes", self.codes, Access::kWrite);
  }
};

struct Dequantise {
  static constexpr const char* kName = "dequantise";
  Quantised x;
  Tensor values;  // float32 as the codes

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    Quantised::each_tensor(self.x, "codes", "grid", "width", visit);
    visit("values", self.values, Access::kWrite);
  }
};

void check(const Quantise& op, const Operands& operands);
void run(const Quantise& op, const StepMemory& memory);
void check(const Dequantise& op, const Operands& operands);
void run(const Dequantise& op, const StepMemory& memory);

}  // namespace bitcycle::ops
