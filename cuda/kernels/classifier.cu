// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_classifier.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> classifier_kernels() {
  return {
      BITCYCLE_KERNEL(LinearForwardKernel),  BITCYCLE_KERNEL(LinearErrorKernel), BITCYCLE_KERNEL(LinearBoundsKernel),
      BITCYCLE_KERNEL(LinearGradientKernel), BITCYCLE_KERNEL(SoftmaxKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
