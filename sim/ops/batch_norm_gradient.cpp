// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/batch_norm_gradient.h"

#include "sim/ops/magnitude_bounds.h"
#include "sim/ops/norm.h"

namespace bitcycle::ops {

void check(const NormGradientSums& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  operands.require(op.u, "u", Element::kFloat32, y.shape);
  operands.require(op.norm, "norm", Element::kNorm, y.shape.back());
  check_bound(op.bound, "bound", operands);
  operands.require(op.sums, "sums", Element::kNormGradientSums, y.shape.back());
}

void run(const NormGradientSums& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.y), count = memory.size(op.y) / channels;
  const auto *u = memory.data<float>(op.u), *y = memory.data<float>(op.y);
  const auto* norm = memory.data<NormChannel>(op.norm);
  auto* all = memory.data<bitcycle::NormGradientSums>(op.sums);
  for (std::int64_t c = 0; c < channels; ++c) {
    auto sums = norm_gradient_grid(bound_value(op.bound, memory), norm[c], static_cast<std::uint64_t>(count));
    const float to_grid_u = power_of_two(sums.exponent_u), to_grid_ut = power_of_two(sums.exponent_ut);
    for (std::int64_t p = 0; p < count; ++p) {
      const std::int64_t e = p * channels + c;
      add_wrapping(sums.s_u, on_grid(u[e], to_grid_u));
      add_wrapping(sums.s_ut, on_grid(u[e] * norm_centre(y[e], norm[c]), to_grid_ut));
    }
    all[c] = sums;
  }
}

void check(const NormParameterGradient& op, const Operands& operands) {
  const std::int64_t channels = operands.of(op.norm, "norm").size();
  operands.require(op.norm, "norm", Element::kNorm, channels);
  operands.require(op.sums, "sums", Element::kNormGradientSums, channels);
  operands.require(op.gradient, "gradient", Element::kNormGradient, channels);
  operands.require(op.dgamma, "dgamma", Element::kFloat32, channels);
  operands.require(op.dbeta, "dbeta", Element::kFloat32, channels);
  if (op.count % operands.batch() != 0) operands.fail("the count is no multiple of the batch");
}

void run(const NormParameterGradient& op, const StepMemory& memory) {
  const auto count = static_cast<std::uint64_t>(memory.at_samples(op.count));
  const auto* sums = memory.data<bitcycle::NormGradientSums>(op.sums);
  const auto* norm = memory.data<NormChannel>(op.norm);
  auto* gradient = memory.data<NormGradientChannel>(op.gradient);
  auto *dgamma = memory.data<float>(op.dgamma), *dbeta = memory.data<float>(op.dbeta);
  for (std::int64_t c = 0; c < memory.size(op.norm); ++c) {
    const NormGradientResult result = norm_gradient_channel(sums[c], norm[c], count);
    gradient[c] = result.gradient;
    dgamma[c] = result.dgamma;
    dbeta[c] = result.dbeta;
  }
}

void check(const NormGradient& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  operands.require(op.u, "u", Element::kFloat32, y.shape);
  operands.require(op.norm, "norm", Element::kNorm, y.shape.back());
  operands.require(op.gradient, "gradient", Element::kNormGradient, y.shape.back());
  operands.require(op.dy, "dy", Element::kFloat32, y.shape);
}

void run(const NormGradient& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.y);
  const auto *u = memory.data<float>(op.u), *y = memory.data<float>(op.y);
  const auto* norm = memory.data<NormChannel>(op.norm);
  const auto* gradient = memory.data<NormGradientChannel>(op.gradient);
  auto* dy = memory.data<float>(op.dy);
  for (std::int64_t e = 0; e < memory.size(op.y); ++e) {
    dy[e] = norm_backward(u[e], y[e], norm[e % channels], gradient[e % channels]);
  }
}

}  // namespace bitcycle::ops
