// SPDX-License-Identifier: Apache-2.0
// What a build without the host execution layer says when it is asked for it.
#include <stdexcept>

#include "cuda/cuda_device.h"

namespace bitcycle {

std::unique_ptr<Backend> make_cuda_on_host_backend(const CudaOptions&) {
  throw std::runtime_error(
      "device is 'cuda-on-host', and this bitcycle was built without the layer that runs CUDA kernels on a CPU; "
      "install "
      "Boost.Context (Debian: libboost-context-dev) and build again, or use --device cpu");
}

}  // namespace bitcycle
