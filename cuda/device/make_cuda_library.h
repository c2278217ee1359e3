// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cuda/cuda_device.h"
#include "cuda/runtime/runtime.h"

namespace bitcycle {

/// The CUDA device on a Runtime (cuda_backend.h).
std::unique_ptr<KernelLibrary> make_library_on(std::unique_ptr<gpu::Runtime> runtime, const CudaOptions& options);

}  // namespace bitcycle
