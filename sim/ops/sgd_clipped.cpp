// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/sgd_clipped.h"

#include "sim/ops/gradient_norm.h"

namespace bitcycle::ops {

void check(const SgdClipped& op, const Operands& operands) {
  operands.require(op.rate, "rate", Element::kFloat32, 1);
  operands.allow(op.guard, "guard", Element::kInt64, 1);
  operands.require(op.norm, "norm", Element::kFloat64, 1);
  if (op.gradients.size() != op.parameters.size()) {
    operands.fail("every parameter has one gradient; there are " + std::to_string(op.parameters.size()) + " and " +
                  std::to_string(op.gradients.size()));
  }
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto& shape = operands.of(op.parameters[i], "parameters").shape;
    operands.require(op.parameters[i], "parameters", Element::kFloat32, shape);
    operands.require(op.gradients[i], "gradients", Element::kFloat32, shape);
  }
}

void run(const SgdClipped& op, const StepMemory& memory) {
  auto& norm = memory.value<double>(op.norm);
  norm = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  norm = gradient_norm(op.gradients, memory);
  const float factor = clip_factor(op.clip, norm);
  const float rate = memory.value<float>(op.rate);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto* g = memory.data<float>(op.gradients[i]);
    auto* w = memory.data<float>(op.parameters[i]);
    for (std::int64_t e = 0; e < memory.size(op.parameters[i]); ++e) {
      const float clipped = g[e] * factor, step = rate * clipped;
      w[e] = w[e] - step;
    }
  }
}

}  // namespace bitcycle::ops
