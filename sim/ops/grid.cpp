// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/grid.h"

#include <algorithm>

#include "sim/ops/activation.h"

namespace bitcycle::ops {

void check(const FitGrid& op, const Operands& operands) {
  operands.require(op.width, "width", Element::kBitWidth, 1);
  operands.require(op.grid, "grid", Element::kGrid, operands.of(op.ranges, "ranges").size());
  operands.require(op.ranges, "ranges", Element::kRange, operands.of(op.grid, "grid").size());
  find_quantiser(op.quantiser);
}

void run(const FitGrid& op, const StepMemory& memory) {
  const auto* ranges = memory.data<bitcycle::Range>(op.ranges);
  auto* grid = memory.data<Affine>(op.grid);
  const auto width = memory.value<BitWidth>(op.width);
  const Quantiser& quantiser = find_quantiser(op.quantiser);
  for (std::int64_t g = 0; g < memory.size(op.grid); ++g) {
    grid[g] = quantiser.grid(ranges[g], width, op.min_scale);
  }
}

void check(const RunningRange& op, const Operands& operands) {
  operands.require(op.range, "range", Element::kRange, 1);
  operands.require(op.running, "running", Element::kFloat32, 2);
}

void run(const RunningRange& op, const StepMemory& memory) {
  update_running_range(memory.data<float>(op.running), memory.value<bitcycle::Range>(op.range));
}

void check(const RunningGrid& op, const Operands& operands) {
  operands.require(op.running, "running", Element::kFloat32, 2);
  operands.require(op.width, "width", Element::kBitWidth, 1);
  operands.require(op.grid, "grid", Element::kGrid, 1);
  find_quantiser(op.quantiser);
}

void run(const RunningGrid& op, const StepMemory& memory) {
  const auto* running = memory.data<float>(op.running);
  memory.value<Affine>(op.grid) =
      find_quantiser(op.quantiser).running_grid(running[0], running[1], memory.value<BitWidth>(op.width), op.min_scale);
}

void check(const StepBounds& op, const Operands& operands) {
  for (const Tensor grid : op.grids) operands.require(grid, "grids", Element::kGrid, operands.of(grid, "grids").shape);
  operands.require(op.bounds, "bounds", Element::kUint32, static_cast<std::int64_t>(op.grids.size()));
}

void run(const StepBounds& op, const StepMemory& memory) {
  auto* bounds = memory.data<std::uint32_t>(op.bounds);
  for (const Tensor tensor : op.grids) {
    const auto* grid = memory.data<Affine>(tensor);
    const auto is_bound = [](const Affine& a) { return a.step_bound != 0; };
    *bounds++ = std::any_of(grid, grid + memory.size(tensor), is_bound) ? 1U : 0U;
  }
}

}  // namespace bitcycle::ops
