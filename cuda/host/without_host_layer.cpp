// SPDX-License-Identifier: Apache-2.0
// What a build without the host execution layer says when it is asked for it.
#include <stdexcept>

#include "cuda/cuda_device.h"
#include "sim/device/kernel_device.h"

namespace bitcycle {

std::unique_ptr<KernelLibrary> make_cuda_on_host_library(const CudaOptions&) {
  throw std::runtime_error(
      "device is 'cuda-on-host', and this bitcycle was built without the layer that runs CUDA kernels on a CPU; "
      "install "
      "Boost.Context (Debian: libboost-context-dev) and build again, or use --device cpu");
}

std::unique_ptr<Device> make_cuda_on_host_device(const CudaOptions& options) {
  return make_kernel_device(make_cuda_on_host_library(options));
}

}  // namespace bitcycle
