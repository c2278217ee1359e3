// SPDX-License-Identifier: Apache-2.0
// The error product by patches: limbs of the weights, the sign of the shared grid, tiles, norms whose sums are taken.
#include "cuda/kernels/kernel_entry.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> error_by_patches_kernels() {
  return {
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<1, false, 2, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<1, false, 2, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<1, false, 4, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<1, false, 4, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, false, 2, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, false, 2, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, false, 4, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, true, 2, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, true, 2, 2>, 2>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<2, true, 4, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<3, true, 2, 2>, 1>),
      BITCYCLE_KERNEL(ErrorProductKernel<PatchProduct<3, true, 2, 2>, 2>),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
