// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/batch_norm.h"

#include "sim/ops/norm.h"

namespace bitcycle::ops {

void check(const Moments& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  operands.require(op.bound, "bound", Element::kFloat64, y.shape.back());
  operands.require(op.statistics, "statistics", Element::kStatistics, y.shape.back());
}

void run(const Moments& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.y), count = memory.size(op.y) / channels;
  const auto* y = memory.data<float>(op.y);
  const auto* bound = memory.data<double>(op.bound);
  auto* statistics = memory.data<ChannelStatistics>(op.statistics);
  for (std::int64_t c = 0; c < channels; ++c) {
    ChannelStatistics s;
    s.exponent = moment_exponent(bound[c], static_cast<std::uint64_t>(count));
    const float to_grid = power_of_two(s.exponent);
    KeyRange keys;
    for (std::int64_t p = 0; p < count; ++p) {
      const std::int64_t q = on_grid(y[p * channels + c], to_grid);
      add_wrapping(s.s1, q);
      s.s2 += static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q);
      include(keys, y[p * channels + c]);
    }
    const bitcycle::Range extremes = range_of_keys(keys);
    s.lo = extremes.lo;
    s.hi = extremes.hi;
    statistics[c] = s;
  }
}

void check(const NormFromBatch& op, const Operands& operands) {
  const std::int64_t channels = operands.of(op.norm, "norm").size();
  operands.require(op.norm, "norm", Element::kNorm, channels);
  operands.require(op.statistics, "statistics", Element::kStatistics, channels);
  operands.require(op.gamma, "gamma", Element::kFloat32, channels);
  operands.require(op.beta, "beta", Element::kFloat32, channels);
  operands.require(op.running_mean, "running mean", Element::kFloat32, channels);
  operands.require(op.running_variance, "running variance", Element::kFloat32, channels);
  if (op.count % operands.batch() != 0) operands.fail("the count is no multiple of the batch");
}

void run(const NormFromBatch& op, const StepMemory& memory) {
  const auto count = static_cast<std::uint64_t>(memory.at_samples(op.count));
  const auto* statistics = memory.data<ChannelStatistics>(op.statistics);
  const auto *gamma = memory.data<float>(op.gamma), *beta = memory.data<float>(op.beta);
  auto *mean = memory.data<float>(op.running_mean), *variance = memory.data<float>(op.running_variance);
  auto* norm = memory.data<NormChannel>(op.norm);
  for (std::int64_t c = 0; c < memory.size(op.norm); ++c) {
    norm[c] = norm_prepare_channel(statistics[c], count, gamma[c], beta[c], &mean[c], &variance[c]);
  }
}

void check(const NormFromRunning& op, const Operands& operands) {
  const std::int64_t channels = operands.of(op.norm, "norm").size();
  operands.require(op.norm, "norm", Element::kNorm, channels);
  operands.require(op.gamma, "gamma", Element::kFloat32, channels);
  operands.require(op.beta, "beta", Element::kFloat32, channels);
  operands.require(op.running_mean, "running mean", Element::kFloat32, channels);
  operands.require(op.running_variance, "running variance", Element::kFloat32, channels);
}

void run(const NormFromRunning& op, const StepMemory& memory) {
  const auto *mean = memory.data<float>(op.running_mean), *variance = memory.data<float>(op.running_variance);
  const auto *gamma = memory.data<float>(op.gamma), *beta = memory.data<float>(op.beta);
  auto* norm = memory.data<NormChannel>(op.norm);
  for (std::int64_t c = 0; c < memory.size(op.norm); ++c) {
    norm[c] = norm_running_channel(mean[c], variance[c], gamma[c], beta[c]);
  }
}

void check(const NormApply& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  operands.require(op.norm, "norm", Element::kNorm, y.shape.back());
  operands.require(op.z, "z", Element::kFloat32, y.shape);
}

void run(const NormApply& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.y);
  const auto* y = memory.data<float>(op.y);
  const auto* norm = memory.data<NormChannel>(op.norm);
  auto* z = memory.data<float>(op.z);
  for (std::int64_t e = 0; e < memory.size(op.y); ++e) z[e] = norm_apply(y[e], norm[e % channels]);
}

}  // namespace bitcycle::ops
