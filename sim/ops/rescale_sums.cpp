// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/rescale_sums.h"

#include <type_traits>

#include "sim/ops/rescale.h"

namespace bitcycle::ops {
namespace {

/// One group, or one a channel of the result.
std::int64_t group_of(std::int64_t groups, const OutElement& out) { return groups == 1 ? 0 : out.at[3]; }

template <typename Sum>
void rescale_all(const Rescale& op, const StepMemory& memory) {
  const Contraction over = op.over.at(memory.at_samples(op.over.shape.n));
  using Wide = std::conditional_t<sizeof(Sum) == 16, Int128, std::int64_t>;
  const auto* sums = memory.data<Sum>(op.sums);
  const std::int64_t* lhs_sums = op.lhs_sums ? memory.data<std::int64_t>(op.lhs_sums) : nullptr;
  const auto* rhs_sums = memory.data<std::int64_t>(op.rhs_sums);
  const auto& lhs = memory.value<Affine>(op.lhs_grid);
  const auto* grids = memory.data<Affine>(op.rhs_grid);
  const std::int64_t groups = memory.size(op.rhs_grid);
  auto* y = memory.data<float>(op.y);
  for_each_out(over.out_shape(), [&](std::int64_t index, const OutElement& out) {
    const Affine& rhs = grids[group_of(groups, out)];
    const double sum = to_binary64(static_cast<Wide>(sums[index]));
    const double rhs_sum = to_binary64(rhs_sums[rhs_sum_index(over, out)]);
    if (lhs_sums == nullptr) {
      y[index] = rescale_shared(shared_scale(lhs, rhs.step), sum, shared_offset(lhs, rhs.step, rhs_sum));
      return;
    }
    const double lhs_sum = to_binary64(lhs_sums[lhs_sum_index(over, out)]);
    const double terms = to_binary64(terms_of(over, out));
    if (over.pass == Pass::kWeightGradient) {
      y[index] = rescale_weight_gradient(weight_gradient_scale(rhs, lhs), sum, rhs_sum, lhs_sum, terms);
    } else {
      const ProductScale scale = product_scale(lhs, rhs);
      y[index] = rescale(scale.a, sum, scale.b, lhs_sum, product_offset(lhs, rhs, rhs_sum, terms));
    }
  });
}

}  // namespace

void check(const Rescale& op, const Operands& operands) {
  const std::vector<std::int64_t> shape = op.over.out_shape();
  operands.require(op.sums, "sums", operands.of(op.sums, "sums").element, shape);
  operands.require(op.y, "y", Element::kFloat32, shape);
  if (op.lhs_sums) operands.require(op.lhs_sums, "lhs' sums", Element::kInt64, op.over.lhs_sums_shape());
  operands.require(op.rhs_sums, "rhs' sums", Element::kInt64, op.over.rhs_sums_shape());
  operands.require(op.lhs_grid, "lhs' grid", Element::kGrid, 1);
  const std::int64_t groups = operands.of(op.rhs_grid, "rhs' grid").size();
  const std::int64_t channels = op.over.pass == Pass::kForward ? op.over.shape.o : op.over.shape.c;
  if (groups != 1) operands.require(op.rhs_grid, "rhs' grid", Element::kGrid, channels);
  if (op.over.pass == Pass::kWeightGradient && (groups != 1 || !op.lhs_sums)) {
    operands.fail("a weight gradient's operands have one group each, and sums of both");
  }
}

void run(const Rescale& op, const StepMemory& memory) {
  switch (memory.spec(op.sums).element) {
    case Element::kInt32: return rescale_all<std::int32_t>(op, memory);
    case Element::kInt64: return rescale_all<std::int64_t>(op, memory);
    default: return rescale_all<Int128>(op, memory);
  }
}

}  // namespace bitcycle::ops
