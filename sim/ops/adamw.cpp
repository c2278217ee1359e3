// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/adamw.h"

#include "sim/ops/gradient_norm.h"

namespace bitcycle::ops {

void check(const Adamw& op, const Operands& operands) {
  operands.require(op.rate, "rate", Element::kFloat32, 1);
  operands.require(op.step, "step", Element::kUint32, 1);
  operands.allow(op.guard, "guard", Element::kInt64, 1);
  if (op.rule.clip > 0.0) operands.require(op.norm, "norm", Element::kFloat64, 1);
  const std::size_t count = op.parameters.size();
  if (op.gradients.size() != count || op.moments.size() != count || op.squares.size() != count) {
    operands.fail("every parameter has one gradient and two moments; there are " + std::to_string(count) + ", " +
                  std::to_string(op.gradients.size()) + ", " + std::to_string(op.moments.size()) + " and " +
                  std::to_string(op.squares.size()));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto& shape = operands.of(op.parameters[i], "parameters").shape;
    operands.require(op.parameters[i], "parameters", Element::kFloat32, shape);
    operands.require(op.gradients[i], "gradients", Element::kFloat32, shape);
    operands.require(op.moments[i], "moments", Element::kFloat32, shape);
    operands.require(op.squares[i], "squares", Element::kFloat32, shape);
  }
}

void run(const Adamw& op, const StepMemory& memory) {
  const bool clips = op.rule.clip > 0.0;
  if (clips) memory.value<double>(op.norm) = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  float factor = 1.0F;
  if (clips) factor = clip_factor(op.rule.clip, memory.value<double>(op.norm) = gradient_norm(op.gradients, memory));
  const AdamwStep of = adamw_step(op.rule, memory.value<float>(op.rate), memory.value<std::uint32_t>(op.step), factor);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto* g = memory.data<float>(op.gradients[i]);
    auto *m = memory.data<float>(op.moments[i]), *v = memory.data<float>(op.squares[i]);
    auto* p = memory.data<float>(op.parameters[i]);
    for (std::int64_t e = 0; e < memory.size(op.parameters[i]); ++e) adamw_element(g[e], m[e], v[e], p[e], of, clips);
  }
}

}  // namespace bitcycle::ops
