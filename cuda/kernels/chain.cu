// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_chain.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> chain_kernels() {
  return {
      BITCYCLE_KERNEL(ForwardChainKernel),
      BITCYCLE_KERNEL(ErrorChainKernel),
      BITCYCLE_KERNEL(WeightGradientChainKernel),
      BITCYCLE_KERNEL(ChannelStatisticsKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
