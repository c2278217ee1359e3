// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/find_non_finite.h"

#include <algorithm>

#include "sim/number/ordered_key.h"

namespace bitcycle::ops {

void check(const FindNonFinite& op, const Operands& operands) {
  for (const Tensor x : op.x) operands.require(x, "x", Element::kFloat32, operands.of(x, "x").shape);
  operands.require(op.position, "position", Element::kInt64, 1);
}

void run(const FindNonFinite& op, const StepMemory& memory) {
  auto& position = memory.value<std::int64_t>(op.position);
  position = -1;
  std::int64_t before = 0;
  for (const Tensor tensor : op.x) {
    const auto* x = memory.data<float>(tensor);
    const std::int64_t size = memory.size(tensor);
    const float* found = std::find_if(x, x + size, [](float v) { return !is_finite_bits(v); });
    if (found != x + size) {
      position = before + (found - x);
      return;
    }
    before += position_step(size);
  }
}

}  // namespace bitcycle::ops
