// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_norm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> norm_kernels() {
  return {
      BITCYCLE_KERNEL(GradientScaleKernel),       BITCYCLE_KERNEL(NormPrepareKernel),
      BITCYCLE_KERNEL(NormFromRunningKernel),     BITCYCLE_KERNEL(NormForwardKernel),
      BITCYCLE_KERNEL(NormGradientPrepareKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
