// SPDX-License-Identifier: Apache-2.0
// KernelDevice: a device whose kernels are the fused operations of a library (backend_patterns.cpp); on host memory
// nodes that none of them takes run their reference loops.
#pragma once

#include <memory>

#include "sim/device/device.h"
#include "sim/device/kernel_library.h"

namespace bitcycle {

std::unique_ptr<Device> make_kernel_device(std::shared_ptr<KernelLibrary> library);

/// The kernels that such a device chooses for a program, without the device. sums_gradients: its library is
/// SummedGradients, as the CPU's.
std::vector<KernelUse> chosen_kernels(const Program& program, const std::vector<Tensor>& kept,
                                      bool sums_gradients = false);

/// The fast CPU device. threads = 0: all cores. Throws where the machine lacks the instruction set, naming the best
/// that it has.
inline std::unique_ptr<Device> make_cpu_device(Isa isa = Isa::kAuto, int threads = 0) {
  return make_kernel_device(make_cpu_library(isa, threads));
}

}  // namespace bitcycle
