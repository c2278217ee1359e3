// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_direct.h"
#include "cuda/kernels/kernels_statistics.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> direct_kernels() {
  return {
      BITCYCLE_KERNEL(DirectForwardKernel),
      BITCYCLE_KERNEL(DirectErrorKernel),
      BITCYCLE_KERNEL(DirectWeightGradientKernel),
      BITCYCLE_KERNEL(ChannelStatisticsKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
