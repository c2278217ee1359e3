// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/float_product.h"

#include <cmath>

#include "sim/number/order_free_sum.h"

namespace bitcycle::ops {
namespace {

float ordered_sum(const Contraction& over, const OutElement& out, const float* lhs, const float* rhs) {
  float sum = 0.0F;
  for_each_run(
      over, out,
      [&](std::int64_t, std::int64_t l, std::int64_t l_step, std::int64_t r, std::int64_t r_step, std::int64_t count) {
        for (std::int64_t k = 0; k < count; ++k) sum = std::fma(lhs[l + k * l_step], rhs[r + k * r_step], sum);
      });
  return sum;
}

/// One sum a sample; a sample without a pair adds nothing.
float sum_over_samples(const Contraction& over, const OutElement& out, const float* lhs, const float* rhs,
                       int exponent) {
  std::int64_t sum = 0, sample = 0;
  float of_sample = 0.0F;
  const auto close = [&] { add_wrapping(sum, on_grid(of_sample, power_of_two(exponent))); };
  for_each_run(over, out,
               [&](std::int64_t n, std::int64_t l, std::int64_t l_step, std::int64_t r, std::int64_t r_step,
                   std::int64_t count) {
                 if (n != sample) {
                   close();
                   sample = n;
                   of_sample = 0.0F;
                 }
                 for (std::int64_t k = 0; k < count; ++k)
                   of_sample = std::fma(lhs[l + k * l_step], rhs[r + k * r_step], of_sample);
               });
  close();
  return static_cast<float>(sum_value(sum, exponent));
}

}  // namespace

void check(const FloatProduct& op, const Operands& operands) {
  check_shape(op.over.shape);
  operands.require(op.lhs, "lhs", Element::kFloat32, op.over.lhs_shape());
  operands.require(op.rhs, "rhs", Element::kFloat32, op.over.rhs_shape());
  operands.require(op.y, "y", Element::kFloat32, op.over.out_shape());
  if (op.over.pass == Pass::kWeightGradient) {
    operands.require(op.bound, "bound", Element::kFloat64, 1);
  } else if (op.bound) {
    operands.fail("a bound is for the weight gradient, whose samples are summed on a grid");
  }
}

void run(const FloatProduct& op, const StepMemory& memory) {
  const Contraction over = op.over.at(memory.at_samples(op.over.shape.n));
  const auto *lhs = memory.data<float>(op.lhs), *rhs = memory.data<float>(op.rhs);
  auto* y = memory.data<float>(op.y);
  const bool samples = over.pass == Pass::kWeightGradient;
  const int exponent =
      samples ? sum_exponent(memory.value<double>(op.bound), static_cast<std::uint64_t>(over.shape.n)) : 0;
  for_each_out(over.out_shape(), [&](std::int64_t index, const OutElement& out) {
    y[index] = samples ? sum_over_samples(over, out, lhs, rhs, exponent) : ordered_sum(over, out, lhs, rhs);
  });
}

}  // namespace bitcycle::ops
