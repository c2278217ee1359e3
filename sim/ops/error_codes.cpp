// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/error_codes.h"

#include <algorithm>
#include <cmath>

#include "sim/quantisers/affine.h"
#include "sim/quantisers/signed_grid.h"

namespace bitcycle::ops {

void check(const ErrorCodes& op, const Operands& operands) {
  const auto& shape = operands.of(op.weights.codes, "weights").shape;
  check(op.weights, "weights", shape, operands);
  operands.require(op.codes, "codes", Element::kInt32, shape);
  operands.require(op.grid, "grid", Element::kGrid, 1);
  if (op.bits < 2 || op.bits > 31) {
    operands.fail("a grid of " + std::to_string(op.bits) + " bits; signed codes have 2 to 31");
  }
}

void run(const ErrorCodes& op, const StepMemory& memory) {
  const std::vector<std::int64_t> codes = load_codes(op.weights, memory);
  const auto& shape = memory.spec(op.weights.codes).shape;
  const auto* affine = memory.data<Affine>(op.weights.grid);
  const auto size = static_cast<std::int64_t>(codes.size());
  const auto value = [&](std::int64_t e) {
    return dequantise(static_cast<std::uint32_t>(codes[static_cast<std::size_t>(e)]),
                      affine[op.weights.groups.of(e, size, shape)]);
  };
  double largest = 0.0;
  for (std::int64_t e = 0; e < size; ++e) largest = std::max(largest, std::fabs(value(e)));
  Affine grid;
  grid.step = error_grid_step(largest, op.bits);
  grid.max_code = static_cast<std::uint32_t>(error_grid_max(op.bits));
  memory.value<Affine>(op.grid) = grid;
  auto* out = memory.data<std::int32_t>(op.codes);
  for (std::int64_t e = 0; e < size; ++e) out[e] = error_grid_code(value(e), grid.step);
}

}  // namespace bitcycle::ops
