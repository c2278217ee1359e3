// SPDX-License-Identifier: Apache-2.0
// Tables of bench/results/cuda-static.md: what a step is on a GPU, by kernel.
#pragma once

#include <cstdio>

#include "cuda/host/host_runtime.h"

namespace bitcycle::test {

/// Launches, how many of them wait for each other, memory; bytes and products by kernel.
inline void print_step_table(const cuda_on_host::GraphCounts& graphs, std::size_t device_bytes) {
  std::printf("%lld launches, at most %lld one after the other, %.0f MiB of device memory\n",
              static_cast<long long>(graphs.nodes), static_cast<long long>(graphs.critical_path),
              static_cast<double>(device_bytes) / 1048576.0);
  std::printf("| kernel | launches | in branches | MB | GMAC |\n");
  for (const auto& [name, kernel] : graphs.kernels) {
    std::printf("| %s | %lld | %lld | %.1f | %.2f |\n", name.c_str(), static_cast<long long>(kernel.launches),
                static_cast<long long>(kernel.in_branches), static_cast<double>(kernel.bytes) * 1e-6,
                static_cast<double>(kernel.macs) * 1e-9);
  }
}

}  // namespace bitcycle::test
