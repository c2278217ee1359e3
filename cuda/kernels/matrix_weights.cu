// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_matrix_weights.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> matrix_weights_kernels() {
  return {
      BITCYCLE_KERNEL(QuantiseMatrixKernel),
      BITCYCLE_KERNEL(QuantiseErrorTilesKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
