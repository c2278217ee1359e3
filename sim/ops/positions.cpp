// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/positions.h"

namespace bitcycle::ops {

void check(const Scale& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.y, "y", Element::kFloat32, shape);
}

void run(const Scale& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  for (std::int64_t e = 0; e < memory.size(op.x); ++e) y[e] = x[e] * op.factor;
}

void check(const AddPositions& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.y, "y", Element::kFloat32, shape);
  if (shape.back() % 2 != 0) {
    operands.fail("sinusoids come in pairs, and " + std::to_string(shape.back()) + " channels are odd");
  }
  if (op.time_steps < 1) operands.fail("time_steps is " + std::to_string(op.time_steps) + "; at least 1 is needed");
}

void run(const AddPositions& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.x), rows = memory.size(op.x) / c;
  std::vector<float> positions;
  for (std::int64_t t = 0; t < op.time_steps && t < rows; ++t) {
    for (std::int64_t i = 0; i < c; ++i) positions.push_back(position_value(t + op.first, i, c));
  }
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  for (std::int64_t e = 0; e < rows * c; ++e) {
    const float scaled = x[e] * op.factor;
    y[e] = scaled + positions[static_cast<std::size_t>(e % (op.time_steps * c))];
  }
}

}  // namespace bitcycle::ops
