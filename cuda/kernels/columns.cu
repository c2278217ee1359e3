// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_columns.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> column_kernels() {
  return {BITCYCLE_KERNEL(TransposeKernel), BITCYCLE_KERNEL(CopyColumnsKernel)};
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
