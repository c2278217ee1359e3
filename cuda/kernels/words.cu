// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_words.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> word_kernels() {
  return {
      BITCYCLE_KERNEL(GatherKernel),     BITCYCLE_KERNEL(MaskRowsKernel),  BITCYCLE_KERNEL(GatherGradientKernel),
      BITCYCLE_KERNEL(BandLabelsKernel), BITCYCLE_KERNEL(AddLossesKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
