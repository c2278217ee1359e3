// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/elementwise.h"

#include <algorithm>

#include "sim/ops/norm.h"

namespace bitcycle::ops {

void check(const Add& op, const Operands& operands) {
  const auto& shape = operands.of(op.a, "a").shape;
  operands.require(op.a, "a", Element::kFloat32, shape);
  operands.require(op.b, "b", Element::kFloat32, shape);
  operands.require(op.z, "z", Element::kFloat32, shape);
}

void run(const Add& op, const StepMemory& memory) {
  const auto *a = memory.data<float>(op.a), *b = memory.data<float>(op.b);
  auto* z = memory.data<float>(op.z);
  for (std::int64_t e = 0; e < memory.size(op.z); ++e) z[e] = a[e] + b[e];
}

void check(const Relu& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.z, "z", Element::kFloat32, shape);
  if (op.positive) operands.require(op.positive, "positive", Element::kBit, shape);
}

void run(const Relu& op, const StepMemory& memory) {
  const std::int64_t size = memory.size(op.x);
  const auto* x = memory.data<float>(op.x);
  auto* z = memory.data<float>(op.z);
  std::uint32_t* positive = op.positive ? memory.data<std::uint32_t>(op.positive) : nullptr;
  if (positive != nullptr) std::fill_n(positive, (size + 31) / 32, 0U);
  for (std::int64_t e = 0; e < size; ++e) {
    z[e] = relu(x[e]);
    if (positive != nullptr && z[e] > 0.0F) positive[e / 32] |= 1U << (e % 32);
  }
}

void check(const ReluGradient& op, const Operands& operands) {
  const auto& shape = operands.of(op.dz, "dz").shape;
  operands.require(op.dz, "dz", Element::kFloat32, shape);
  operands.require(op.positive, "positive", Element::kBit, shape);
  operands.require(op.dx, "dx", Element::kFloat32, shape);
}

void run(const ReluGradient& op, const StepMemory& memory) {
  const auto* dz = memory.data<float>(op.dz);
  const auto* positive = memory.data<std::uint32_t>(op.positive);
  auto* dx = memory.data<float>(op.dx);
  for (std::int64_t e = 0; e < memory.size(op.dx); ++e) {
    dx[e] = ((positive[e / 32] >> (e % 32)) & 1U) != 0 ? dz[e] : 0.0F;
  }
}

void check(const AddBias& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.bias, "bias", Element::kFloat32, shape.back());
  operands.require(op.y, "y", Element::kFloat32, shape);
}

void run(const AddBias& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.x);
  const auto *x = memory.data<float>(op.x), *bias = memory.data<float>(op.bias);
  auto* y = memory.data<float>(op.y);
  for (std::int64_t e = 0; e < memory.size(op.y); ++e) y[e] = x[e] + bias[e % channels];
}

}  // namespace bitcycle::ops
