// SPDX-License-Identifier: Apache-2.0
// What a build without the CUDA Toolkit says when it is asked for a GPU.
#include <stdexcept>

#include "sim/backend.h"

namespace bitcycle {

CudaBuild cuda_build() { return {}; }

std::unique_ptr<Backend> make_cuda_backend() {
  throw std::runtime_error(
      "device is 'cuda', and this bitcycle was built without CUDA; use --device cpu, or install the CUDA Toolkit 12.0 "
      "or "
      "newer and build again");
}

}  // namespace bitcycle
