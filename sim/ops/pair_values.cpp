// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/pair_values.h"

#include <cmath>

#include "sim/number/ordered_key.h"
#include "sim/ops/pair_product.h"

namespace bitcycle::ops {

void check(const PairFloatProduct& op, const Operands& operands) {
  check_pairs(op.over.shape, operands);
  operands.require(op.lhs, "lhs", Element::kFloat32, op.over.lhs_size());
  operands.require(op.rhs, "rhs", Element::kFloat32, op.over.rhs_size());
  operands.require(op.y, "y", Element::kFloat32, op.over.out_size());
}

void run(const PairFloatProduct& op, const StepMemory& memory) {
  const auto *lhs = memory.data<float>(op.lhs), *rhs = memory.data<float>(op.rhs);
  auto* y = memory.data<float>(op.y);
  for_each_pair_result(op.over.at(memory.at_samples(op.over.shape.samples)), [&](const PairTerms& of) {
    float sum = 0.0F;
    for (std::int64_t k = 0; k < of.terms; ++k) {
      sum = std::fma(lhs[of.lhs + k * of.lhs_step], rhs[of.rhs + k * of.rhs_step], sum);
    }
    y[of.out] = sum;
  });
}

void check(const PairRange& op, const Operands& operands) {
  check_pairs(op.shape, operands);
  operands.require(op.x, "x", Element::kFloat32, op.shape.pair_elements());
  operands.require(op.range, "range", Element::kRange, 1);
}

void run(const PairRange& op, const StepMemory& memory) {
  const PairShape& s = op.shape;
  const auto* x = memory.data<float>(op.x);
  KeyRange keys;
  if (op.from_zero) include(keys, 0.0F);
  const std::int64_t matrices = memory.at_samples(s.samples) * s.heads;
  for (std::int64_t row = 0; row < matrices * s.m; ++row) {
    for (std::int64_t j = 0; j < s.columns_of(row % s.m); ++j) include(keys, x[row * s.n + j]);
  }
  memory.value<bitcycle::Range>(op.range) = range_of_keys(keys);
}

}  // namespace bitcycle::ops
