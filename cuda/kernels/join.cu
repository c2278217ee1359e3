// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_join.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> join_kernels() {
  return {
      BITCYCLE_KERNEL(JoinKernel),
      BITCYCLE_KERNEL(PoolPrepareKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
