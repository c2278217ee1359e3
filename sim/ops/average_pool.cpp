// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/average_pool.h"

namespace bitcycle::ops {
namespace {

void check_pair(Tensor whole, const char* whole_role, Tensor pooled, const char* pooled_role,
                const Operands& operands) {
  const auto& shape = operands.of(whole, whole_role).shape;
  if (shape.size() != 4) operands.fail(std::string(whole_role) + " must be (n, h, w, c)");
  operands.require(whole, whole_role, Element::kFloat32, shape);
  operands.require(pooled, pooled_role, Element::kFloat32, {shape[0], 1, 1, shape[3]});
}

}  // namespace

void check(const AveragePool& op, const Operands& operands) { check_pair(op.x, "x", op.pooled, "pooled", operands); }

void run(const AveragePool& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.x), rows = memory.size(op.pooled) / channels;
  const std::int64_t positions = memory.spec(op.x).shape[1] * memory.spec(op.x).shape[2];
  const auto* x = memory.data<float>(op.x);
  auto* pooled = memory.data<float>(op.pooled);
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t c = 0; c < channels; ++c) {
      float sum = 0.0F;
      for (std::int64_t p = 0; p < positions; ++p) sum = sum + x[(n * positions + p) * channels + c];
      pooled[n * channels + c] = sum / static_cast<float>(positions);
    }
  }
}

void check(const AveragePoolGradient& op, const Operands& operands) {
  check_pair(op.dx, "dx", op.dpooled, "dpooled", operands);
}

void run(const AveragePoolGradient& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.dx);
  const std::int64_t positions = memory.spec(op.dx).shape[1] * memory.spec(op.dx).shape[2];
  const auto* dpooled = memory.data<float>(op.dpooled);
  auto* dx = memory.data<float>(op.dx);
  for (std::int64_t e = 0; e < memory.size(op.dx); ++e) {
    const std::int64_t n = e / (positions * channels);
    dx[e] = dpooled[n * channels + e % channels] / static_cast<float>(positions);
  }
}

}  // namespace bitcycle::ops
