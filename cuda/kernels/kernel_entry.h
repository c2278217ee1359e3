// SPDX-License-Identifier: Apache-2.0
// Makes a kernel launchable. Each family of kernels is a translation unit of its own that lists its kernels with
// BITCYCLE_KERNEL; nvcc compiles it for GPUs and the host compiler for the host layer. A changed kernel recompiles its
// family and who launches it.
#pragma once

#include "cuda/kernels/all_kernels.h"
#include "cuda/kernels/device.h"

#if defined(__CUDACC__)
namespace bitcycle::cuda {

/// Blocks that should fit a multiprocessor, where a kernel says: its registers are limited accordingly.
template <typename Kernel>
constexpr int min_blocks() {
  if constexpr (requires { Kernel::kMinBlocks; }) {
    return Kernel::kMinBlocks;
  } else {
    return 1;
  }
}
template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, min_blocks<Kernel>())
    kernel_entry(const __grid_constant__ typename Kernel::Args args) {
  Kernel::run(args);
}

}  // namespace bitcycle::cuda
#else
namespace bitcycle::cuda_on_host {

template <typename Kernel>
void kernel_entry(const void* arguments) {
  Kernel::run(*static_cast<const typename Kernel::Args*>(arguments));
}

}  // namespace bitcycle::cuda_on_host
#endif

/// An entry of a family's list; within the kernels' namespace. Those who launch find it by the name (runtime.h).
#define BITCYCLE_KERNEL(...)                                                                             \
  gpu::KernelEntry {                                                                                     \
#__VA_ARGS__, reinterpret_cast < void (*)()>(&kernel_entry <__VA_ARGS__>), sizeof(__VA_ARGS__::Args) \
  }
