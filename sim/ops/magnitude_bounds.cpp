// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/magnitude_bounds.h"

#include <algorithm>

#include "sim/number/ordered_key.h"
#include "sim/ops/bounds.h"

namespace bitcycle::ops {
namespace {

struct Source {
  Tensor grid, range, magnitude;
  Tensor any() const { return grid ? grid : range ? range : magnitude; }
};
Source lhs_of(const ProductBound& op) { return {op.lhs_grid, op.lhs_range, op.lhs_magnitude}; }
Source rhs_of(const ProductBound& op) { return {op.rhs_grid, op.rhs_range, op.rhs_magnitude}; }

double magnitude_in(const Source& source, std::int64_t group, const StepMemory& memory) {
  if (source.grid) return code_bound(memory.data<Affine>(source.grid)[group]);
  if (source.range) return static_cast<double>(magnitude_of(memory.data<bitcycle::Range>(source.range)[group]));
  return static_cast<double>(memory.data<float>(source.magnitude)[group]);
}

void require_one(const Source& source, const char* role, std::int64_t groups, const Operands& operands) {
  if ((source.grid ? 1 : 0) + (source.range ? 1 : 0) + (source.magnitude ? 1 : 0) != 1) {
    operands.fail(std::string(role) + " has one of a grid, a range and a magnitude");
  }
  operands.allow(source.grid, role, Element::kGrid, groups);
  operands.allow(source.range, role, Element::kRange, groups);
  operands.allow(source.magnitude, role, Element::kFloat32, groups);
}

}  // namespace

void check_bound(Tensor bound, const char* role, const Operands& operands) {
  const bool exact = operands.of(bound, role).element == Element::kFloat32;
  operands.require(bound, role, exact ? Element::kFloat32 : Element::kFloat64, 1);
}

double bound_value(Tensor bound, const StepMemory& memory) {
  if (memory.spec(bound).element == Element::kFloat32) return static_cast<double>(memory.value<float>(bound));
  return memory.value<double>(bound);
}

void check(const ProductBound& op, const Operands& operands) {
  require_one(lhs_of(op), "lhs", 1, operands);
  const std::int64_t groups = operands.of(rhs_of(op).any(), "rhs").size();
  require_one(rhs_of(op), "rhs", groups, operands);
  const std::int64_t bounds = operands.of(op.bound, "bound").size();
  operands.require(op.bound, "bound", Element::kFloat64, bounds == 1 ? 1 : groups);
  if (op.depth < 1) operands.fail("depth is " + std::to_string(op.depth) + ", it must be at least 1");
}

void run(const ProductBound& op, const StepMemory& memory) {
  const double x = magnitude_in(lhs_of(op), 0, memory);
  const std::int64_t groups = memory.size(rhs_of(op).any());
  auto* bound = memory.data<double>(op.bound);
  double largest = 0.0;
  for (std::int64_t g = 0; g < groups; ++g) {
    const double w = magnitude_in(rhs_of(op), g, memory);
    largest = std::max(largest, w);
    if (memory.size(op.bound) != 1) bound[g] = product_bound(!op.rounds, op.depth, x, w);
  }
  if (memory.size(op.bound) == 1) *bound = product_bound(!op.rounds, op.depth, x, largest);
}

void check(const Magnitude& op, const Operands& operands) {
  operands.require(op.x, "x", Element::kFloat32, operands.of(op.x, "x").shape);
  operands.require(op.bound, "bound", Element::kFloat32, 1);
}

void run(const Magnitude& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  std::int32_t largest = 0;
  for (std::int64_t e = 0; e < memory.size(op.x); ++e) largest = std::max(largest, magnitude_key(x[e]));
  memory.value<float>(op.bound) = float_of_bits(largest);
}

void check(const SumBound& op, const Operands& operands) {
  check_bound(op.a, "a", operands);
  check_bound(op.b, "b", operands);
  operands.require(op.bound, "bound", Element::kFloat64, 1);
}

void run(const SumBound& op, const StepMemory& memory) {
  memory.value<double>(op.bound) = bound_value(op.a, memory) + bound_value(op.b, memory);
}

}  // namespace bitcycle::ops
