// SPDX-License-Identifier: Apache-2.0
// The forward product with groups: by patches and by rows, as the device chooses for a shape.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/grouped_tile.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> forward_grouped_kernels() {
  return {
      BITCYCLE_KERNEL(ForwardProductKernel<Grouped<PatchProduct<1, false, 4, 2>>>),
      BITCYCLE_KERNEL(ForwardProductKernel<Grouped<TileProduct<1, 1, false, 4>>>),
      BITCYCLE_KERNEL(ForwardProductKernel<Grouped<TileProduct<2, 2, false, 2>>>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
