// SPDX-License-Identifier: Apache-2.0
// The weight-gradient product: limbs of the gradient, limbs of the input, tiles of 16 output channels; and its last
// step.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/kernels_weight_gradient.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> weight_gradient_kernels() {
  return {
      BITCYCLE_KERNEL(WeightGradientFinishKernel),           BITCYCLE_KERNEL(WeightGradientProductKernel<1, 1, 1>),
      BITCYCLE_KERNEL(WeightGradientProductKernel<1, 1, 2>), BITCYCLE_KERNEL(WeightGradientProductKernel<1, 2, 1>),
      BITCYCLE_KERNEL(WeightGradientProductKernel<2, 1, 1>), BITCYCLE_KERNEL(WeightGradientProductKernel<2, 2, 1>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
