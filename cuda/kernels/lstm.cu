// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_lstm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> lstm_kernels() {
  return {
      BITCYCLE_KERNEL(LstmCellKernel),
      BITCYCLE_KERNEL(LstmCellGradientKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
