// SPDX-License-Identifier: Apache-2.0
// The error product with groups: by patches and by rows, limbs of both operands, the sign of the shared grid, tiles.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/grouped_tile.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> error_grouped_kernels() {
  return {
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<PatchProduct<1, false, 4, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<PatchProduct<2, false, 2, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<PatchProduct<2, true, 4, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<PatchProduct<3, true, 2, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<1, 1, false, 4>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<1, 2, false, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<1, 2, true, 4>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<1, 3, true, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<2, 1, false, 4>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<2, 2, false, 2>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<2, 2, true, 4>>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<Grouped<TileProduct<2, 3, true, 2>>, 1>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
