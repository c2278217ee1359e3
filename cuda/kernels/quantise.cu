// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_quantise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> quantise_kernels() {
  return {
      BITCYCLE_KERNEL(QuantiseInputKernel),
      BITCYCLE_KERNEL(QuantiseGradientKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
