// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_nodes.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> node_kernels() {
  return {
      BITCYCLE_KERNEL(AddKernel),         BITCYCLE_KERNEL(CopyKernel),         BITCYCLE_KERNEL(AddBiasKernel),
      BITCYCLE_KERNEL(ReluKernel),        BITCYCLE_KERNEL(ReluGradientKernel), BITCYCLE_KERNEL(AddPositionsKernel),
      BITCYCLE_KERNEL(PositionsKernel),   BITCYCLE_KERNEL(DropoutKernel),      BITCYCLE_KERNEL(QuantiseKernel),
      BITCYCLE_KERNEL(DequantiseKernel),  BITCYCLE_KERNEL(FitGridKernel),      BITCYCLE_KERNEL(RunningRangeKernel),
      BITCYCLE_KERNEL(RunningGridKernel), BITCYCLE_KERNEL(StepBoundKernel),    BITCYCLE_KERNEL(SumBoundKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
