// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_depthwise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> depthwise_kernels() {
  return {
      BITCYCLE_KERNEL(DepthwiseForwardKernel<false>),  BITCYCLE_KERNEL(DepthwiseForwardKernel<true>),
      BITCYCLE_KERNEL(DepthwiseErrorKernel<false>),    BITCYCLE_KERNEL(DepthwiseErrorKernel<true>),
      BITCYCLE_KERNEL(DepthwiseGradientKernel<false>), BITCYCLE_KERNEL(DepthwiseGradientKernel<true>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
