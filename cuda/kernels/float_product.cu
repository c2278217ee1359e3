// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/kernel_entry.h"
#include "cuda/kernels/kernels_float_product.h"
#include "cuda/kernels/kernels_float_weight_gradient.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> float_product_kernels() {
  return {
      BITCYCLE_KERNEL(FloatForwardKernel),
      BITCYCLE_KERNEL(FloatErrorKernel),
      BITCYCLE_KERNEL(FloatWeightGradientKernel),
  };
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
