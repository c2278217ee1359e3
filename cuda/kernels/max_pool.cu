// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_max_pool.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> max_pool_kernels() {
  return {
      BITCYCLE_KERNEL(MaxPoolKernel<1>),         BITCYCLE_KERNEL(MaxPoolKernel<4>),
      BITCYCLE_KERNEL(MaxPoolBackwardKernel<1>), BITCYCLE_KERNEL(MaxPoolBackwardKernel<4>),
      BITCYCLE_KERNEL(NormSumsPrepareKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
