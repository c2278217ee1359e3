// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_row_sums.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> row_sum_kernels() {
  return {
      BITCYCLE_KERNEL(LayerNormKernel),   BITCYCLE_KERNEL(LayerNormGradientKernel),
      BITCYCLE_KERNEL(PairSoftmaxKernel), BITCYCLE_KERNEL(PairSoftmaxGradientKernel),
      BITCYCLE_KERNEL(PairRangeKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
