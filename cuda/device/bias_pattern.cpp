// SPDX-License-Identifier: Apache-2.0
// The forward pass of all libraries (sim/device/fused/convolution_forward.cpp), and the bias behind it, which the
// product's epilogue adds.
#include "cuda/device/bias_pattern.h"

#include <algorithm>

#include "cuda/device/cuda_library.h"

namespace bitcycle::fused {

FusedEntry convolution_forward_entry();

}  // namespace bitcycle::fused

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {
namespace {

std::optional<Match> product_with_bias(const Candidates& c, int node) {
  const auto* product = c.get<ops::Product>(node);
  if (product == nullptr) return {};
  std::optional<Match> match = fused::convolution_forward_entry().entry.pattern(c, node);
  if (!match) return {};
  for (const int other : match->nodes) {
    const auto* rescale = c.get<ops::Rescale>(other);
    const int bias = rescale == nullptr ? -1 : c.reader<ops::AddBias>(rescale->y);
    if (bias < 0) continue;
    std::replace(match->makes.begin(), match->makes.end(), rescale->y, c.get<ops::AddBias>(bias)->y);
    match->nodes.push_back(bias);
    return match;
  }
  return {};
}

KernelLaunch bind_product_with_bias(const KernelBinding& b) {
  const auto* bias = b.op<ops::AddBias>();
  const auto* values = b.address<float>(bias->bias);
  auto* y = b.address<float>(bias->y);
  auto* library = static_cast<CudaLibrary*>(&b.library);
  return [=, product = fused::convolution_forward_entry().bind(b)](const KernelStep& step) {
    library->add_bias_to_product(values, y);
    product(step);
  };
}

}  // namespace

FusedEntry product_with_bias_entry() { return {{"product with bias", product_with_bias}, bind_product_with_bias}; }

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
