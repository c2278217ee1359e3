// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_pairs.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> pair_kernels() {
  return {
      BITCYCLE_KERNEL(PairProductKernel),
      BITCYCLE_KERNEL(PairFloatProductKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
