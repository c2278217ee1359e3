// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/layer_norm.h"

#include "sim/number/order_free_sum.h"
#include "sim/ops/magnitude_bounds.h"

namespace bitcycle::ops {
namespace {

/// x, and what belongs to its rows.
void check_normalised(Tensor x, Tensor statistics, const Operands& operands) {
  const TensorSpec& of = operands.of(x, "x");
  operands.require(x, "x", Element::kFloat32, of.shape);
  operands.require(statistics, "statistics", Element::kFloat32, 2 * of.size() / of.shape.back());
}

struct Rows {
  std::int64_t count = 0, c = 0;
};
Rows rows_of(Tensor x, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(x);
  return {memory.size(x) / c, c};
}

}  // namespace

void check(const LayerNorm& op, const Operands& operands) {
  check_normalised(op.x, op.statistics, operands);
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.gamma, "gamma", Element::kFloat32, shape.back());
  operands.require(op.beta, "beta", Element::kFloat32, shape.back());
  operands.require(op.y, "y", Element::kFloat32, shape);
}

void run(const LayerNorm& op, const StepMemory& memory) {
  const Rows rows = rows_of(op.x, memory);
  const auto c = static_cast<double>(rows.c);
  const auto *gamma = memory.data<float>(op.gamma), *beta = memory.data<float>(op.beta);
  auto* statistics = memory.data<RowStatistics>(op.statistics);
  for (std::int64_t n = 0; n < rows.count; ++n) {
    const float* x = memory.data<float>(op.x) + n * rows.c;
    float* y = memory.data<float>(op.y) + n * rows.c;
    const double mean =
        row_sum<double>(rows.c, [&](double sum, std::int64_t i) { return sum + static_cast<double>(x[i]); }) / c;
    const double squares = row_sum<double>(rows.c, [&](double sum, std::int64_t i) {
      const double t = static_cast<double>(x[i]) - mean;
      return std::fma(t, t, sum);
    });
    statistics[n] = row_statistics(mean, squares / c, op.eps);
    for (std::int64_t i = 0; i < rows.c; ++i) {
      y[i] = std::fma(layer_norm_value(x[i], statistics[n]), gamma[i], beta[i]);
    }
  }
}

void check(const LayerNormGradient& op, const Operands& operands) {
  check_normalised(op.x, op.statistics, operands);
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.gamma, "gamma", Element::kFloat32, shape.back());
  operands.require(op.dy, "dy", Element::kFloat32, shape);
  operands.require(op.dx, "dx", Element::kFloat32, shape);
}

void run(const LayerNormGradient& op, const StepMemory& memory) {
  const Rows rows = rows_of(op.x, memory);
  const auto c = static_cast<double>(rows.c);
  const auto* gamma = memory.data<float>(op.gamma);
  const auto* statistics = memory.data<RowStatistics>(op.statistics);
  for (std::int64_t n = 0; n < rows.count; ++n) {
    const float *x = memory.data<float>(op.x) + n * rows.c, *dy = memory.data<float>(op.dy) + n * rows.c;
    float* dx = memory.data<float>(op.dx) + n * rows.c;
    const RowStatistics& of = statistics[n];
    const double sum =
        row_sum<double>(rows.c, [&](double s, std::int64_t i) { return s + static_cast<double>(dy[i] * gamma[i]); });
    const double with_value = row_sum<double>(rows.c, [&](double s, std::int64_t i) {
      return std::fma(static_cast<double>(dy[i] * gamma[i]), static_cast<double>(layer_norm_value(x[i], of)), s);
    });
    const auto a = static_cast<float>(sum / c), b = static_cast<float>(with_value / c);
    for (std::int64_t i = 0; i < rows.c; ++i) {
      const float u = dy[i] * gamma[i];
      dx[i] = of.inverse_deviation * std::fma(-layer_norm_value(x[i], of), b, u - a);
    }
  }
}

void check(const LayerNormParameterGradient& op, const Operands& operands) {
  check_normalised(op.x, op.statistics, operands);
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.dy, "dy", Element::kFloat32, shape);
  check_bound(op.bound, "bound", operands);
  operands.require(op.dgamma, "dgamma", Element::kFloat32, shape.back());
  operands.require(op.dbeta, "dbeta", Element::kFloat32, shape.back());
}

void run(const LayerNormParameterGradient& op, const StepMemory& memory) {
  const Rows rows = rows_of(op.x, memory);
  const double bound = bound_value(op.bound, memory);
  const auto count = static_cast<std::uint64_t>(rows.count);
  const int of_gamma = sum_exponent(layer_norm_bound(bound, rows.c), count), of_beta = sum_exponent(bound, count);
  const auto *x = memory.data<float>(op.x), *dy = memory.data<float>(op.dy);
  const auto* statistics = memory.data<RowStatistics>(op.statistics);
  for (std::int64_t i = 0; i < rows.c; ++i) {
    std::int64_t dgamma = 0, dbeta = 0;
    for (std::int64_t n = 0; n < rows.count; ++n) {
      const std::int64_t e = n * rows.c + i;
      add_wrapping(dgamma, on_grid(dy[e] * layer_norm_value(x[e], statistics[n]), power_of_two(of_gamma)));
      add_wrapping(dbeta, on_grid(dy[e], power_of_two(of_beta)));
    }
    memory.data<float>(op.dgamma)[i] = static_cast<float>(sum_value(dgamma, of_gamma));
    memory.data<float>(op.dbeta)[i] = static_cast<float>(sum_value(dbeta, of_beta));
  }
}

}  // namespace bitcycle::ops
