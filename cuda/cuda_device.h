// SPDX-License-Identifier: Apache-2.0
// The CUDA device: the first GPU, or the same kernels on the CPU by the host execution layer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace bitcycle {

class Device;
class KernelLibrary;

/// The CUDA device in this build.
struct CudaBuild {
  bool built = false;
  std::string toolkit;  // "13.0"
  std::string targets;  // "sm_80 sm_90 compute_80"
};
CudaBuild cuda_build();

/// What kernels find on the first GPU; bytes.
struct GpuFacts {
  std::string name, compute_capability;
  int multiprocessors = 0;
  std::size_t shared_per_block = 0, shared_per_block_optin = 0, shared_per_multiprocessor = 0;
  std::size_t l2_cache = 0, memory = 0, memory_free = 0;
  std::string driver, runtime;  // CUDA versions: what the driver can do, what the program was built with
};
/// Throws as make_cuda_library does.
GpuFacts gpu_facts();

/// How the device runs; results do not depend on it.
struct CudaOptions {
  /// For finding faults: no branches and no graph, a launch at a time, each waited for and checked.
  bool serial = false;
  /// A step is one graph; false: its launches one after the other on one stream.
  bool graph = true;
  /// The largest carve-out of shared memory for kernels that use much of it; false: the driver's choice.
  bool carveout = true;
};

/// The first GPU. Throws std::runtime_error where the build has no CUDA, or the machine no GPU that can run it, and
/// names --device cpu.
std::unique_ptr<KernelLibrary> make_cuda_library(const CudaOptions& options = {});

/// The kernels of the CUDA device run on the CPU, to check them where there is no GPU: the same bits, slowly. Throws
/// std::runtime_error where the build does not have the host layer.
std::unique_ptr<KernelLibrary> make_cuda_on_host_library(const CudaOptions& options = {});

/// The same as devices.
std::unique_ptr<Device> make_cuda_device(const CudaOptions& options = {});
std::unique_ptr<Device> make_cuda_on_host_device(const CudaOptions& options = {});

}  // namespace bitcycle
