// SPDX-License-Identifier: Apache-2.0
// The error product by rows: limbs of both operands, the sign of the shared grid, tiles, norms whose sums are taken.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> error_by_rows_kernels() {
  return {
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 1, false, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 1, false, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 1, false, 4>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 1, false, 4>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, false, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, false, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, false, 4>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, true, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, true, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 2, true, 4>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 3, true, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<1, 3, true, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 1, false, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 1, false, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 1, false, 4>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 2, false, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 2, false, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 2, true, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 2, true, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 3, true, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<TileProduct<2, 3, true, 2>, 2>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
