// SPDX-License-Identifier: Apache-2.0
// Single operations at the end of a step: sums of gradients over rows, their norm, optimisers.
#include "cuda/device/nodes.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void NodeLauncher::run(const ops::Magnitude& op) {
  const std::uint32_t count = size(op.x, "magnitude");
  launch<MagnitudeKernel>(library_.blocks(count), MagnitudeKernel::kSharedBytes,
                          {data<float>(op.x), count, data<float>(op.bound), nullptr, library_.scratch()},
                          {0, std::int64_t{4} * count});
}

void NodeLauncher::run(const ops::BiasGradient& op) {
  const std::int64_t channels = memory_.last_extent(op.dy), rows = size(op.dy, "bias gradient") / channels;
  launch<BiasGradientKernel>(
      (channels + 31) / 32, BiasGradientKernel::kSharedBytes,
      {data<float>(op.dy), bound(op.bound), data<float>(op.dbias), rows, static_cast<std::uint32_t>(channels)},
      {0, 4 * rows * channels});
}

void NodeLauncher::run(const ops::LayerNormParameterGradient& op) {
  const std::int64_t c = memory_.last_extent(op.x), rows = size(op.x, "layer norm parameter gradient") / c;
  launch<LayerNormParameterGradientKernel>(
      (c + 31) / 32, LayerNormParameterGradientKernel::kSharedBytes,
      {data<float>(op.x), data<RowStatistics>(op.statistics), data<float>(op.dy), bound(op.bound),
       data<float>(op.dgamma), data<float>(op.dbeta), rows, static_cast<std::uint32_t>(c)},
      {0, 8 * rows * c});
}

NodeLauncher::List NodeLauncher::list(const std::vector<Tensor>& tensors, const char* operation) const {
  List of;
  if (tensors.empty()) return of;
  of.first = data<float>(tensors.front());
  for (const Tensor tensor : tensors) {
    const auto* at = data<float>(tensor);
    if (at < of.first + of.size) {
      throw std::logic_error(std::string(operation) + ": the tensors of a list do not lie behind each other");
    }
    of.size = at - of.first + memory_.size(tensor);
    of.count += memory_.size(tensor);
  }
  return of;
}

OptimiserLists NodeLauncher::lists(const std::vector<Tensor>& gradients, const std::vector<Tensor>& parameters,
                                   Tensor rate, Tensor guard, const char* operation) const {
  const List g = list(gradients, operation), p = list(parameters, operation);
  if (g.size != p.size) throw std::logic_error(std::string(operation) + ": lists of parameters lie differently");
  OptimiserLists of{};
  of.gradient = g.first;
  of.parameter = p.first;
  of.size = CudaLibrary::elements(g.size, operation);
  of.rate = data<float>(rate);
  of.guard = data<std::int64_t>(guard);
  return of;
}

const GradientNorm* NodeLauncher::clip(const OptimiserLists& of, const std::vector<Tensor>& gradients, double at_most,
                                       Tensor norm) {
  auto* scratch = library_.reserve(library_.gradient_norm_, sizeof(GradientNorm)).as<GradientNorm>();
  launch<MagnitudeKernel>(library_.blocks(of.size), MagnitudeKernel::kSharedBytes,
                          {of.gradient, of.size, &scratch->largest, &scratch->sum, library_.scratch()},
                          {0, std::int64_t{4} * of.size});
  launch<GradientNormKernel>(library_.blocks(of.size), GradientNormKernel::kSharedBytes,
                             {of.gradient, of.size, static_cast<std::uint64_t>(list(gradients, "norm").count), of.guard,
                              at_most, scratch, data<double>(norm), library_.scratch()},
                             {0, std::int64_t{4} * of.size});
  return scratch;
}

void NodeLauncher::run(const ops::SgdClipped& op) {
  OptimiserLists of = lists(op.gradients, op.parameters, op.rate, op.guard, "sgd");
  of.clipped = clip(of, op.gradients, op.clip, op.norm);
  launch<SgdClippedKernel>(library_.blocks(of.size), 0, {of}, {0, std::int64_t{12} * of.size});
}

void NodeLauncher::run(const ops::Adamw& op) {
  OptimiserLists of = lists(op.gradients, op.parameters, op.rate, op.guard, "adamw");
  of.first = list(op.moments, "adamw").first;
  of.second = list(op.squares, "adamw").first;
  if (op.rule.clip > 0.0) of.clipped = clip(of, op.gradients, op.rule.clip, op.norm);
  launch<AdamwKernel>(library_.blocks(of.size), AdamwKernel::kSharedBytes, {of, op.rule, data<std::uint32_t>(op.step)},
                      {0, std::int64_t{28} * of.size});
}

void NodeLauncher::run(const ops::Nag& op) {
  OptimiserLists of = lists(op.gradients, op.parameters, op.rate, op.guard, "nag");
  of.first = list(op.momenta, "nag").first;
  if (op.rule.clip > 0.0) of.clipped = clip(of, op.gradients, op.rule.clip, op.norm);
  launch<NagKernel>(library_.blocks(of.size), NagKernel::kSharedBytes,
                    {of, op.rule, data<float>(op.rate_before), library_.scratch()}, {0, std::int64_t{20} * of.size});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
