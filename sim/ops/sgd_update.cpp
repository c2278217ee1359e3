// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/sgd_update.h"

#include "sim/ops/sgd.h"

namespace bitcycle::ops {

void check(const SgdUpdate& op, const Operands& operands) {
  operands.require(op.rate, "rate", Element::kFloat32, 1);
  operands.allow(op.guard, "guard", Element::kInt64, 1);
  if (op.gradients.size() != op.parameters.size() || op.momenta.size() != op.parameters.size()) {
    operands.fail("every parameter has one gradient and one momentum; there are " +
                  std::to_string(op.parameters.size()) + ", " + std::to_string(op.gradients.size()) + " and " +
                  std::to_string(op.momenta.size()));
  }
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto& shape = operands.of(op.parameters[i], "parameters").shape;
    operands.require(op.parameters[i], "parameters", Element::kFloat32, shape);
    operands.require(op.gradients[i], "gradients", Element::kFloat32, shape);
    operands.require(op.momenta[i], "momenta", Element::kFloat32, shape);
  }
}

void run(const SgdUpdate& op, const StepMemory& memory) {
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  const float rate = memory.value<float>(op.rate);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto* g = memory.data<float>(op.gradients[i]);
    auto *m = memory.data<float>(op.momenta[i]), *w = memory.data<float>(op.parameters[i]);
    for (std::int64_t e = 0; e < memory.size(op.parameters[i]); ++e) {
      sgd_element(g[e], m[e], w[e], rate, op.momentum, op.weight_decay);
    }
  }
}

}  // namespace bitcycle::ops
