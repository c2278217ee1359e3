// SPDX-License-Identifier: Apache-2.0
#include "cuda/cuda_device.h"

#include "sim/device/kernel_device.h"

namespace bitcycle {

std::unique_ptr<Device> make_cuda_device(const CudaOptions& options) {
  return make_kernel_device(make_cuda_library(options));
}

}  // namespace bitcycle
