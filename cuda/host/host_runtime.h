// SPDX-License-Identifier: Apache-2.0
// The Runtime of the host execution layer, and the CUDA library on it: blocks run over oneTBB, in an order that a seed
// shuffles; fresh memory is filled with 0xCD; graphs are lists.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "cuda/cuda_device.h"
#include "cuda/host/block_scheduler.h"
#include "sim/device/device.h"

namespace bitcycle::cuda_on_host {

struct HostOptions {
  int processors = 2;                     // multiprocessors that the grids are sized by
  int threads = 0;                        // of the CPU; 0: all
  std::uint64_t seed = 0;                 // order of blocks, warps and lanes; 0: as numbered
  bool count = false;                     // memory accesses of each kernel's second block
  bool executes = true;                   // false: launches are recorded only, for counting them
  std::size_t shared_bytes = 163 * 1024;  // that a block may ask for: sm_80; 99 KiB sm_86, 227 KiB sm_90
  std::uint64_t fails_at = 0;             // the launch of this number fails, counted from 1; 0: none
  std::string skips = {};                 // launches of this name do nothing: a fault on purpose
  CudaOptions cuda = {};
};

/// Counts by kernel, filled while HostOptions.count is on.
using AccessCounts = std::map<std::string, AccessCount>;

/// Steps as graphs: how many were made, how many are kept, how many times one was used again, nodes whose arguments
/// changed.
struct GraphCounts {
  struct Kernel {
    std::int64_t launches = 0, in_branches = 0, macs = 0, bytes = 0;
  };
  std::int64_t made = 0, kept = 0, replayed = 0, updated = 0;
  // Of the last step.
  std::int64_t nodes = 0, critical_path = 0;
  std::map<std::string, Kernel> kernels;
};

std::unique_ptr<KernelLibrary> make_cuda_library_on_host(const HostOptions& options = {},
                                                         AccessCounts* counts = nullptr, GraphCounts* graphs = nullptr);

/// The same as a device.
std::unique_ptr<Device> make_cuda_device_on_host(const HostOptions& options = {}, AccessCounts* counts = nullptr,
                                                 GraphCounts* graphs = nullptr);

}  // namespace bitcycle::cuda_on_host
