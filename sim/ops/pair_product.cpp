// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/pair_product.h"

#include "sim/ops/product.h"
#include "sim/ops/rescale.h"

namespace bitcycle::ops {
namespace {

BitWidth widest_codes(const Quantised& operand, const Operands& operands) {
  switch (operands.of(operand.codes, "operand").element) {
    case Element::kCodes8: return BitWidth::integer(8);
    case Element::kCodes16: return BitWidth::integer(16);
    default: return BitWidth::integer(32);
  }
}

void check_operands(const Quantised& lhs, const Quantised& rhs, const PairContraction& over, const Operands& operands) {
  check_pairs(over.shape, operands);
  check(lhs, "lhs", operands.of(lhs.codes, "lhs").shape, operands);
  check(rhs, "rhs", operands.of(rhs.codes, "rhs").shape, operands);
  if (!lhs.width || !rhs.width) operands.fail("both operands are unsigned codes of a width");
  operands.require(lhs.codes, "lhs", operands.of(lhs.codes, "lhs").element, over.lhs_size());
  operands.require(rhs.codes, "rhs", operands.of(rhs.codes, "rhs").element, over.rhs_size());
  operands.require(lhs.grid, "lhs' grid", Element::kGrid, 1);
  operands.require(rhs.grid, "rhs' grid", Element::kGrid, 1);
}

template <typename Sum>
void add_pairs(const PairProduct& op, const StepMemory& memory) {
  const PairContraction over = op.over.at(memory.at_samples(op.over.shape.samples));
  const std::vector<std::int64_t> lhs = load_codes(op.lhs, memory), rhs = load_codes(op.rhs, memory);
  auto* sums = memory.data<Sum>(op.sums);
  for_each_pair_result(over, [&](const PairTerms& of) {
    Int128 sum = 0;
    for (std::int64_t k = 0; k < of.terms; ++k) {
      sum += static_cast<Int128>(lhs[static_cast<std::size_t>(of.lhs + k * of.lhs_step)]) *
             rhs[static_cast<std::size_t>(of.rhs + k * of.rhs_step)];
    }
    sums[of.out] = static_cast<Sum>(sum);
  });
}

template <typename Sum>
void rescale_pairs(const PairRescale& op, const StepMemory& memory) {
  const PairContraction over = op.over.at(memory.at_samples(op.over.shape.samples));
  const std::vector<std::int64_t> lhs = load_codes(op.lhs, memory), rhs = load_codes(op.rhs, memory);
  const auto& lhs_grid = memory.value<Affine>(op.lhs.grid);
  const auto& rhs_grid = memory.value<Affine>(op.rhs.grid);
  const ProductScale scale = product_scale(lhs_grid, rhs_grid);
  using Wide = std::conditional_t<sizeof(Sum) == 16, Int128, std::int64_t>;
  const auto* sums = memory.data<Sum>(op.sums);
  auto* y = memory.data<float>(op.y);
  for_each_pair_result(over, [&](const PairTerms& of) {
    if (of.terms == 0) {
      y[of.out] = 0.0F;
      return;
    }
    std::int64_t lhs_sum = 0, rhs_sum = 0;
    for (std::int64_t k = 0; k < of.terms; ++k) {
      lhs_sum += lhs[static_cast<std::size_t>(of.lhs + k * of.lhs_step)];
      rhs_sum += rhs[static_cast<std::size_t>(of.rhs + k * of.rhs_step)];
    }
    y[of.out] = rescale(scale.a, to_binary64(static_cast<Wide>(sums[of.out])), scale.b, to_binary64(lhs_sum),
                        product_offset(lhs_grid, rhs_grid, to_binary64(rhs_sum), to_binary64(of.terms)));
  });
}

}  // namespace

void check_pairs(const PairShape& s, const Operands& operands) {
  if (s.samples < 1 || s.heads < 1 || s.m < 1 || s.n < 1 || s.d < 1) {
    operands.fail("the extents of pairs are at least 1; they are " + s.text());
  }
  if (s.causal && s.n < s.m) operands.fail("causal pairs have no fewer columns than rows; they are " + s.text());
}

void check(const PairProduct& op, const Operands& operands) {
  check_operands(op.lhs, op.rhs, op.over, operands);
  const TensorSpec& sums = operands.of(op.sums, "sums");
  const Element element = sums.element;
  if (element != Element::kInt32 && element != Element::kInt64 && element != Element::kInt128) {
    operands.fail("sums '" + sums.name + "' is " + sums.text() + "; sums of products are int32, int64 or int128");
  }
  operands.require(op.sums, "sums", element, op.over.out_size());
  const BitWidth lhs = widest_codes(op.lhs, operands), rhs = widest_codes(op.rhs, operands);
  if (lhs.bits() == 8 && rhs.bits() == 8 && element < sum_element(lhs, rhs, op.over.depth())) {
    operands.fail("sums '" + sums.name + "' is " + sums.text() + "; sums of " + std::to_string(op.over.depth()) +
                  " products of 8-bit codes need " + element_name(sum_element(lhs, rhs, op.over.depth())));
  }
}

void run(const PairProduct& op, const StepMemory& memory) {
  switch (memory.spec(op.sums).element) {
    case Element::kInt32: return add_pairs<std::int32_t>(op, memory);
    case Element::kInt64: return add_pairs<std::int64_t>(op, memory);
    default: return add_pairs<Int128>(op, memory);
  }
}

void check(const PairRescale& op, const Operands& operands) {
  check_operands(op.lhs, op.rhs, op.over, operands);
  operands.require(op.sums, "sums", operands.of(op.sums, "sums").element, op.over.out_size());
  operands.require(op.y, "y", Element::kFloat32, op.over.out_size());
}

void run(const PairRescale& op, const StepMemory& memory) {
  switch (memory.spec(op.sums).element) {
    case Element::kInt32: return rescale_pairs<std::int32_t>(op, memory);
    case Element::kInt64: return rescale_pairs<std::int64_t>(op, memory);
    default: return rescale_pairs<Int128>(op, memory);
  }
}

}  // namespace bitcycle::ops
