// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/dropout.h"

namespace bitcycle::ops {

void check(const Dropout& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.y, "y", Element::kFloat32, shape);
  operands.require(op.step, "step", Element::kUint32, 1);
}

void run(const Dropout& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  const PhiloxStream stream =
      philox_stream(op.seed, memory.value<std::uint32_t>(op.step), kDropoutPurpose, op.tensor_id);
  const std::int64_t size = memory.size(op.x);
  for (std::int64_t first = 0; first < size; first += 4) {
    const PhiloxBlock block = philox_block(stream, static_cast<std::uint64_t>(first / 4));
    for (std::int64_t e = first; e < first + 4 && e < size; ++e)
      y[e] = dropout_value(x[e], block.word[e - first], op.rule);
  }
}

}  // namespace bitcycle::ops
