// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/sgd_clipped.h"

#include <algorithm>
#include <cmath>

#include "sim/number/order_free_sum.h"

namespace bitcycle::ops {
namespace {

/// The norm of all gradients. A square of a binary32 number is exact in binary64; on the grid it loses what lies 50
/// bits or more below the largest.
double norm_of(const SgdClipped& op, const StepMemory& memory) {
  double largest = 0.0;
  std::uint64_t count = 0;
  for (const Tensor gradient : op.gradients) {
    const auto* g = memory.data<float>(gradient);
    for (std::int64_t e = 0; e < memory.size(gradient); ++e) {
      largest = std::max(largest, std::fabs(static_cast<double>(g[e])));
    }
    count += static_cast<std::uint64_t>(memory.size(gradient));
  }
  if (largest == 0.0) return 0.0;
  // Gradients are scaled by a power of two first, so that neither their squares nor the grid leave the exponents.
  const int scale = -exponent_above(largest);
  const int exponent = sum_exponent(1.0, count);
  std::int64_t sum = 0;
  for (const Tensor gradient : op.gradients) {
    const auto* g = memory.data<float>(gradient);
    for (std::int64_t e = 0; e < memory.size(gradient); ++e) {
      const double scaled = std::ldexp(static_cast<double>(g[e]), scale);
      add_wrapping(sum, static_cast<std::int64_t>(std::rint(std::ldexp(scaled * scaled, exponent))));
    }
  }
  return std::ldexp(std::sqrt(sum_value(sum, exponent)), -scale);
}

}  // namespace

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
  norm = norm_of(op, memory);
  const float factor = static_cast<float>(std::min(1.0, op.clip / (norm + 1e-6)));
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
