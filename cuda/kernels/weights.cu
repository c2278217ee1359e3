// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_grouped_weights.h"
#include "cuda/kernels/kernels_weights.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> weights_kernels() {
  return {
      BITCYCLE_KERNEL(ResetWeightsKernel),
      BITCYCLE_KERNEL(QuantiseWeightsKernel),
      BITCYCLE_KERNEL(QuantiseErrorWeightsKernel),
      BITCYCLE_KERNEL(PackGroupsKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
