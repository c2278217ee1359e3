// SPDX-License-Identifier: Apache-2.0
// Max pooling over windows of kernel x kernel positions (docs/numerics.md, 6.7). Positions outside the map are not part
// of a window.
//   max_pool           z = the largest x of the window; of equal ones the first in row order
//   max_pool_gradient  dx = sum over the windows whose maximum this element is, from +0, windows in row order
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct PoolWindow {
  std::int64_t kernel = 1, stride = 1, padding = 0;
  /// Extent of the result along an axis of `extent` positions.
  std::int64_t out(std::int64_t extent) const { return (extent + 2 * padding - kernel) / stride + 1; }
};

struct MaxPool {
  static constexpr const char* kName = "max_pool";
  Tensor x;  // float32 (n, h, w, c)
  Tensor z;  // float32 (n, out h, out w, c)
  PoolWindow window;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("z", self.z, Access::kWrite);
  }
};

struct MaxPoolGradient {
  static constexpr const char* kName = "max_pool_gradient";
  Tensor x;   // as above
  Tensor dz;  // as z
  Tensor dx;  // as x
  PoolWindow window;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("dz", self.dz, Access::kRead);
    visit("dx", self.dx, Access::kWrite);
  }
};

void check(const MaxPool& op, const Operands& operands);
void run(const MaxPool& op, const StepMemory& memory);
void check(const MaxPoolGradient& op, const Operands& operands);
void run(const MaxPoolGradient& op, const StepMemory& memory);

}  // namespace bitcycle::ops
