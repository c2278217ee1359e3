// SPDX-License-Identifier: Apache-2.0
// Where a word stands (docs/numerics.md, 6.15):
//   scale          y = fl(x * factor)
//   add_positions  y = fl(fl(x * factor) + p(t, i)), t = row mod time_steps; sinusoids of row t + first of a table:
//                  f(k) = exp(-fl64(k * fl64(log(10000) / (c/2 - 1)))), p(t, k) = fl32(sin(fl64((t + first) f(k)))),
//                  p(t, k + c/2) = fl32(cos(fl64((t + first) f(k)))), k < c/2, in binary64
#pragma once

#include "sim/number/elementary.h"
#include "sim/ops/op.h"

namespace bitcycle {

/// p of channel i of c, at this row of the table.
BITCYCLE_HD float position_value(std::int64_t row, std::int64_t i, std::int64_t c) {
  const std::int64_t half = c / 2, k = i < half ? i : i - half;
  const double step = half > 1 ? log_f64(10000.0) / static_cast<double>(half - 1) : 0.0;
  const double angle = static_cast<double>(row) * exp_f64(-(static_cast<double>(k) * step));
  return static_cast<float>(i < half ? sin_f64(angle) : cos_f64(angle));
}

}  // namespace bitcycle

namespace bitcycle::ops {

struct Scale {
  static constexpr const char* kName = "scale";
  Tensor x;  // float32
  float factor = 1.0F;
  Tensor y;  // float32 as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct AddPositions {
  static constexpr const char* kName = "add_positions";
  Tensor x;  // float32 (rows, ..., c), c even
  float factor = 1.0F;
  std::int64_t time_steps = 1;
  std::int64_t first = 2;
  Tensor y;  // float32 as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const Scale& op, const Operands& operands);
void run(const Scale& op, const StepMemory& memory);
void check(const AddPositions& op, const Operands& operands);
void run(const AddPositions& op, const StepMemory& memory);

}  // namespace bitcycle::ops
