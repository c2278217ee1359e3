// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_lstm_backward.h"
#include "cuda/kernels/kernels_lstm_forward.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> lstm_step_kernels() {
  return {
      BITCYCLE_KERNEL(LstmInputsKernel),       BITCYCLE_KERNEL(LstmInputProductKernel),
      BITCYCLE_KERNEL(LstmStepKernel),         BITCYCLE_KERNEL(LstmClearKernel),
      BITCYCLE_KERNEL(LstmLastCellKernel),     BITCYCLE_KERNEL(LstmGradientCodesKernel),
      BITCYCLE_KERNEL(LstmStepErrorKernel),    BITCYCLE_KERNEL(LstmInputErrorKernel),
      BITCYCLE_KERNEL(LstmBiasGradientKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
