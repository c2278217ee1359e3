// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_direct.h"
#include "cuda/kernels/kernels_statistics.h"
#include "cuda/products/kernels_deep_error.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> direct_kernels() {
  return {
      BITCYCLE_KERNEL(DirectForwardKernel),
      BITCYCLE_KERNEL(DirectErrorKernel),
      BITCYCLE_KERNEL(DirectWeightGradientKernel),
      BITCYCLE_KERNEL(DeepErrorKernel<TileProduct<1, 1, false, 2>>),
      BITCYCLE_KERNEL(DeepErrorKernel<TileProduct<1, 2, false, 2>>),
      BITCYCLE_KERNEL(DeepErrorKernel<TileProduct<1, 2, true, 2>>),
      BITCYCLE_KERNEL(DeepErrorKernel<TileProduct<1, 3, true, 2>>),
      BITCYCLE_KERNEL(ChannelStatisticsKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
