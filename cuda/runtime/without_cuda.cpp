// SPDX-License-Identifier: Apache-2.0
// What a build without the CUDA Toolkit says when it is asked for a GPU.
#include <stdexcept>

#include "cuda/cuda_device.h"
#include "sim/device/kernel_library.h"

namespace bitcycle {

CudaBuild cuda_build() { return {}; }

GpuFacts gpu_facts() {
  make_cuda_library();
  return {};
}

std::unique_ptr<KernelLibrary> make_cuda_library(const CudaOptions&) {
  throw std::runtime_error(
      "device is 'cuda', and this bitcycle was built without CUDA; use --device cpu, or install the CUDA Toolkit 12.0 "
      "or newer and build again");
}

}  // namespace bitcycle
