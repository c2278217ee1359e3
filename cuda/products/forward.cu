// SPDX-License-Identifier: Apache-2.0
// The forward product: by patches and by rows, as the device chooses for a shape.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> forward_kernels() {
  return {
      BITCYCLE_KERNEL(ForwardProductKernel<PatchProduct<1, false, 2, 2>>),
      BITCYCLE_KERNEL(ForwardProductKernel<PatchProduct<1, false, 2, 4>>),
      BITCYCLE_KERNEL(ForwardProductKernel<PatchProduct<1, false, 4, 2>>),
      BITCYCLE_KERNEL(ForwardProductKernel<PatchProduct<1, false, 8, 2>>),
      BITCYCLE_KERNEL(ForwardProductKernel<TileProduct<1, 1, false, 2>>),
      BITCYCLE_KERNEL(ForwardProductKernel<TileProduct<1, 1, false, 4>>),
      BITCYCLE_KERNEL(ForwardProductKernel<TileProduct<1, 1, false, 8>>),
      BITCYCLE_KERNEL(ForwardProductKernel<TileProduct<2, 2, false, 2>>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
