// SPDX-License-Identifier: Apache-2.0
// The average pool.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

std::optional<Match> pool_backward(const Candidates& c, int node) {
  const auto* pool = c.get<ops::AveragePoolGradient>(node);
  if (pool == nullptr) return {};
  Match match;
  match.nodes = {node};
  const int bound = c.reader<ops::Magnitude>(pool->dpooled);
  if (bound < 0) return {};
  take_gradient_sum(c, pool->dx, bound, match);
  return match;
}

KernelLaunch bind_average_pool(const KernelBinding& b) {
  const auto* op = b.op<ops::AveragePool>();
  const auto& shape = b.program.spec(op->x).shape;
  AveragePool args;
  args.positions = shape[1] * shape[2];
  args.channels = shape[3];
  args.x = b.address<float>(op->x);
  args.pooled = b.address<float>(op->pooled);
  const Program* program = &b.program;
  const Tensor pooled = op->pooled;
  KernelLibrary* library = &b.library;
  return [args, program, pooled, library](const KernelStep& step) {
    AveragePool now = args;
    now.n = rows(*program, pooled, step.samples);
    library->average_pool(now);
  };
}

KernelLaunch bind_pool_backward(const KernelBinding& b) {
  const auto* pool = b.op<ops::AveragePoolGradient>();
  AveragePoolBackward args;
  args.positions = b.program.spec(pool->dx).shape[1] * b.program.spec(pool->dx).shape[2];
  args.channels = b.program.spec(pool->dx).shape[3];
  args.dpooled = b.address<float>(pool->dpooled);
  const bool sums_gradients = b.op<ops::NormGradientSums>() != nullptr || b.op<ops::ReluGradient>() != nullptr;
  const auto gradient_sum = std::make_shared<GradientSum>(gradient_sum_of(b, pool->dx));
  if (sums_gradients) {
    args.gradient_sum = gradient_sum.get();
  } else {
    args.dx = b.address<float>(pool->dx);
  }
  const Program* program = &b.program;
  const Tensor dpooled = pool->dpooled;
  KernelLibrary* library = &b.library;
  return [args, gradient_sum, program, dpooled, library](const KernelStep& step) {
    AveragePoolBackward now = args;
    now.n = rows(*program, dpooled, step.samples);
    library->average_pool_backward(now);
  };
}

}  // namespace

FusedEntry average_pool_entry() { return {{"average pool", alone<ops::AveragePool>}, bind_average_pool}; }
FusedEntry average_pool_backward_entry() { return {{"average pool backward", pool_backward}, bind_pool_backward}; }

}  // namespace bitcycle::fused
