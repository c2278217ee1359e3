// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/bias_gradient.h"

#include "sim/number/order_free_sum.h"
#include "sim/ops/magnitude_bounds.h"

namespace bitcycle::ops {

void check(const BiasGradient& op, const Operands& operands) {
  const auto& shape = operands.of(op.dy, "dy").shape;
  operands.require(op.dy, "dy", Element::kFloat32, shape);
  check_bound(op.bound, "bound", operands);
  operands.require(op.dbias, "dbias", Element::kFloat32, shape.back());
}

void run(const BiasGradient& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.dy), rows = memory.size(op.dy) / channels;
  const int exponent = sum_exponent(bound_value(op.bound, memory), static_cast<std::uint64_t>(rows));
  const auto* dy = memory.data<float>(op.dy);
  auto* dbias = memory.data<float>(op.dbias);
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int64_t sum = 0;
    for (std::int64_t n = 0; n < rows; ++n) add_wrapping(sum, on_grid(dy[n * channels + c], power_of_two(exponent)));
    dbias[c] = static_cast<float>(sum_value(sum, exponent));
  }
}

}  // namespace bitcycle::ops
