// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/nag.h"

#include "sim/ops/gradient_norm.h"

namespace bitcycle::ops {

void check(const Nag& op, const Operands& operands) {
  operands.require(op.rate, "rate", Element::kFloat32, 1);
  operands.require(op.rate_before, "rate before", Element::kFloat32, 1);
  operands.allow(op.guard, "guard", Element::kInt64, 1);
  if (op.rule.clip > 0.0) operands.require(op.norm, "norm", Element::kFloat64, 1);
  const std::size_t count = op.parameters.size();
  if (op.gradients.size() != count || op.momenta.size() != count) {
    operands.fail("every parameter has one gradient and one momentum; there are " + std::to_string(count) + ", " +
                  std::to_string(op.gradients.size()) + " and " + std::to_string(op.momenta.size()));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto& shape = operands.of(op.parameters[i], "parameters").shape;
    operands.require(op.parameters[i], "parameters", Element::kFloat32, shape);
    operands.require(op.gradients[i], "gradients", Element::kFloat32, shape);
    operands.require(op.momenta[i], "momenta", Element::kFloat32, shape);
  }
}

void run(const Nag& op, const StepMemory& memory) {
  const bool clips = op.rule.clip > 0.0, decays = op.rule.weight_decay != 0.0;
  if (clips) memory.value<double>(op.norm) = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  float factor = 1.0F;
  if (clips) factor = clip_factor(op.rule.clip, memory.value<double>(op.norm) = gradient_norm(op.gradients, memory));
  const NagStep of = nag_step(op.rule, memory.value<float>(op.rate), memory.value<float>(op.rate_before), factor);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto* g = memory.data<float>(op.gradients[i]);
    auto *b = memory.data<float>(op.momenta[i]), *w = memory.data<float>(op.parameters[i]);
    for (std::int64_t e = 0; e < memory.size(op.parameters[i]); ++e) nag_element(g[e], b[e], w[e], of, clips, decays);
  }
  memory.value<float>(op.rate_before) = of.rate;
}

}  // namespace bitcycle::ops
