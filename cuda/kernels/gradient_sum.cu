// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_gradient_sum.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> gradient_sum_kernels() {
  return {
      BITCYCLE_KERNEL(GradientSumKernel),
      BITCYCLE_KERNEL(PoolPrepareKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
