// SPDX-License-Identifier: Apache-2.0
// batch_norm: statistics of the batch, or running ones, and the three steps of its backward pass.
#include <stdexcept>

#include "nn/builder/builder.h"

namespace bitcycle::builder {

Value* batch_norm(Builder& builder, Value* x, const std::string& name) {
  const std::int64_t c = x->c, count = builder.batch() * x->h * x->w;
  const std::vector<std::int64_t> shape{builder.batch(), x->h, x->w, c};
  const auto gamma = builder.trained(name + ".weight", {c}, {c});
  const auto beta = builder.trained(name + ".bias", {c}, {c});
  const Tensor mean = builder.running(name + ".running_mean", c);
  const Tensor variance = builder.running(name + ".running_var", c);
  const Tensor norm =
      builder.tensor(name, "norm", Element::kNorm, {c}, builder.training() ? Lifetime::kReport : Lifetime::kStep);
  if (builder.training()) {
    if (!x->channel_bound) throw std::logic_error(name + ": a batch norm follows a product, whose bound it needs");
    const Tensor statistics = builder.tensor(name, "statistics", Element::kStatistics, {c});
    builder.write(name, Pass::kForward, ops::Moments{x->tensor, x->channel_bound(), statistics});
    builder.write(name, Pass::kForward,
                  ops::NormFromBatch{statistics, gamma.value, beta.value, mean, variance, count, norm});
    builder.result().watches.push_back({Watch::What::kNorm, norm, "output of " + x->layer, false});
  } else {
    builder.write(name, Pass::kForward, ops::NormFromRunning{mean, variance, gamma.value, beta.value, norm});
  }
  const Tensor z = builder.samples(name, "z", Element::kFloat32, shape);
  builder.write(name, Pass::kForward, ops::NormApply{x->tensor, norm, z});
  Value* result = builder.value(name, z, x->h, x->w, c);
  builder.backward([&builder, x, result, name, gamma, beta, norm, shape, count] {
    const Gradient u = builder.gradient(result);
    const std::int64_t channels = shape.back();
    const Tensor sums = builder.tensor(name, "gradient sums", Element::kNormGradientSums, {channels});
    const Tensor gradient = builder.tensor(name, "gradient", Element::kNormGradient, {channels});
    const Tensor dy = builder.samples(name, "dy", Element::kFloat32, shape);
    builder.write(name, Pass::kError, ops::NormGradientSums{u.tensor, x->tensor, norm, u.bound(), sums});
    builder.write(name, Pass::kWeightGradient,
                  ops::NormParameterGradient{sums, norm, count, gradient, gamma.gradient, beta.gradient});
    builder.write(name, Pass::kError, ops::NormGradient{u.tensor, x->tensor, norm, gradient, dy});
    builder.contribute(x, {dy, {}});
  });
  return result;
}

}  // namespace bitcycle::builder
