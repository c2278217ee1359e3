// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_depthwise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> depthwise_kernels() {
  return {
      BITCYCLE_KERNEL(DepthwiseForwardKernel),
      BITCYCLE_KERNEL(DepthwiseErrorKernel),
      BITCYCLE_KERNEL(DepthwiseGradientKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
