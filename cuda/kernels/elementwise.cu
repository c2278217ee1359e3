// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_elementwise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> elementwise_kernels() {
  return {
      BITCYCLE_KERNEL(StepStartKernel),   BITCYCLE_KERNEL(RangeKernel),      BITCYCLE_KERNEL(ActivationScaleKernel),
      BITCYCLE_KERNEL(AveragePoolKernel), BITCYCLE_KERNEL(LoadImagesKernel), BITCYCLE_KERNEL(SgdKernel),
      BITCYCLE_KERNEL(NonFiniteKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
