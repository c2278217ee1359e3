// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_gradients.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> gradient_kernels() {
  return {
      BITCYCLE_KERNEL(MagnitudeKernel),
      BITCYCLE_KERNEL(BiasGradientKernel),
      BITCYCLE_KERNEL(LayerNormParameterGradientKernel),
      BITCYCLE_KERNEL(GradientNormKernel),
      BITCYCLE_KERNEL(SgdClippedKernel),
      BITCYCLE_KERNEL(AdamwKernel),
      BITCYCLE_KERNEL(NagKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
