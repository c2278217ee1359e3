// SPDX-License-Identifier: Apache-2.0
// Runtime: device memory, launches and steps. One implementation talks to the CUDA runtime, one runs kernels on the CPU
// (tests/cuda_on_host/). A step is a list of launches; what repeats from step to step is a graph that is made once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace bitcycle::gpu {

/// What a launch has to do at least, for profiles: multiply-accumulates; bytes that cross memory, every operand once.
struct Work {
  std::int64_t macs = 0, bytes = 0;
};

/// One kernel launch with its arguments, which are copied: they hold values and device pointers only.
struct Launch {
  static constexpr std::size_t kMostArguments = 768;
  const char* name = "";
  void (*entry)() = nullptr;  // kernel_entry<Kernel>
  int blocks = 0, threads = 0;
  /// 0: the trunk, one launch after the other. A branch begins where it is recorded, behind the trunk's last launch,
  /// and runs in order beside the trunk, until a launch of the trunk joins it (sim/cuda/step_graph.h).
  int branch = 0;
  bool joins = false;  // trunk: waits for every branch that was recorded before
  std::size_t shared_bytes = 0;
  std::size_t argument_bytes = 0;
  Work work;
  alignas(16) std::array<std::byte, kMostArguments> arguments{};

  /// Same kernel on the same grid; arguments may differ.
  bool same_shape(const Launch& other) const {
    return entry == other.entry && branch == other.branch && joins == other.joins && blocks == other.blocks &&
           threads == other.threads && shared_bytes == other.shared_bytes && argument_bytes == other.argument_bytes;
  }
  bool same_arguments(const Launch& other) const {
    return std::memcmp(arguments.data(), other.arguments.data(), argument_bytes) == 0;
  }
};

/// Errors of the device are std::runtime_error that name the operation; what was asked of the device before it is lost,
/// what lies on the host is not.
class Runtime {
 public:
  virtual ~Runtime() = default;
  /// "sm_90, NVIDIA H100 80GB HBM3" or "host".
  virtual std::string name() const = 0;
  /// Streaming multiprocessors: grids are sized by them; results do not depend on them.
  virtual int processors() const = 0;
  /// The most that a block may ask for.
  virtual std::size_t shared_bytes() const = 0;
  /// Not filled. Throws std::runtime_error naming bytes asked for and bytes free.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data) noexcept = 0;
  virtual void to_device(void* device, const void* host, std::size_t bytes) = 0;
  virtual void to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void fill_zero(void* device, std::size_t bytes) = 0;
  /// Queues a copy behind what is queued; finish_to_host waits for the oldest and gives it to `host`.
  virtual void start_to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void finish_to_host() = 0;
  virtual void synchronise() = 0;
  virtual void launch(const Launch& launch) = 0;
  /// The same, and waits for it. Seconds that the device took.
  virtual double run_timed(const Launch& launch) = 0;
  /// The launches as one graph whose edges are predecessors(launches); a graph with the same kernels and grids is used
  /// again, and only the nodes whose arguments changed (widths, images) are updated.
  virtual void run_step(const std::vector<Launch>& launches) = 0;
};

}  // namespace bitcycle::gpu
