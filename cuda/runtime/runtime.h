// SPDX-License-Identifier: Apache-2.0
// Runtime: device memory, launches and steps. One implementation talks to the CUDA runtime, one runs kernels on the CPU
// (cuda/host/). A step is a list of launches; what repeats from step to step is a graph that is made once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace bitcycle::gpu {

/// What a launch has to do at least, for profiles: multiply-accumulates; bytes that cross memory, every operand once.
struct Work {
  std::int64_t macs = 0, bytes = 0;
};

/// A kernel that a Runtime can launch. The two compilations of a family of kernels (nvcc's, the host compiler's) know
/// it by the same name, so that the code that launches is compiled once for both.
struct KernelEntry {
  std::string kernel;  // the type without namespaces and spaces: "WeightGradientProductKernel<1,1,2>"
  void (*entry)() = nullptr;
  std::size_t argument_bytes = 0;
};

/// A type's name as KernelEntry has it, from what the compiler or the preprocessor prints.
inline std::string kernel_name_of(std::string text) {
  for (const char* drop : {"bitcycle::cuda_on_host::", "bitcycle::cuda::", " "}) {
    for (std::size_t at; (at = text.find(drop)) != std::string::npos;) text.erase(at, std::strlen(drop));
  }
  return text;
}
/// The name in what __PRETTY_FUNCTION__ says within a function template of one parameter, Kernel: "... [with Kernel =
/// X]".
inline std::string kernel_name_in(const std::string& pretty) {
  const std::size_t begin = pretty.find("Kernel = ") + 9;
  return kernel_name_of(pretty.substr(begin, pretty.find_first_of(";]", begin) - begin));
}
template <typename Kernel>
const char* kernel_name() {
  static const std::string name = kernel_name_in(__PRETTY_FUNCTION__);
  return name.c_str();
}

/// The same value with every byte of padding 0, so that equal values have equal bytes.
template <typename T>
T without_padding(const T& value) {
  T copy = value;
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&copy);
#endif
  return copy;
}

/// One kernel launch with its arguments, which are copied: they hold values and device pointers only.
struct Launch {
  static constexpr std::size_t kMostArguments = 768;
  const char* name = "";    // what it does, for people: "convolution forward"
  const char* kernel = "";  // kernel_name<Kernel>(): the same pointer for the same kernel
  int blocks = 0, threads = 0;
  /// 0: the main sequence, one launch after the other. A branch begins where it is recorded, behind the main sequence's
  /// last launch, and runs in order beside the main sequence, until a launch of the main sequence waits for it
  /// (cuda/runtime/step_graph.h).
  int branch = 0;
  bool waits_for_branches = false;  // main sequence: waits for every branch that was recorded before
  std::size_t shared_bytes = 0;
  std::size_t argument_bytes = 0;
  Work work;
  alignas(16) std::array<std::byte, kMostArguments> arguments{};

  /// Copies arguments, or a part of them that begins at byte `offset`.
  template <typename T>
  void store(const T& value, std::size_t offset = 0) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMostArguments);
    const T copy = without_padding(value);
    std::memcpy(arguments.data() + offset, &copy, sizeof copy);
  }
  /// Same kernel on the same grid; arguments may differ.
  bool same_shape(const Launch& other) const {
    return kernel == other.kernel && branch == other.branch && waits_for_branches == other.waits_for_branches &&
           blocks == other.blocks && threads == other.threads && shared_bytes == other.shared_bytes &&
           argument_bytes == other.argument_bytes;
  }
  bool same_arguments(const Launch& other) const {
    return std::memcmp(arguments.data(), other.arguments.data(), argument_bytes) == 0;
  }
};

/// Kernels of a Runtime by name. Throws std::logic_error for one that no family has, or whose arguments differ.
class KernelTable {
 public:
  explicit KernelTable(const std::vector<KernelEntry>& kernels) {
    for (const KernelEntry& one : kernels) by_name_[kernel_name_of(one.kernel)] = one;
  }
  const KernelEntry& of(const Launch& launch) {
    const auto [known, fresh] = by_pointer_.try_emplace(launch.kernel, nullptr);
    if (fresh) {
      const auto found = by_name_.find(launch.kernel);
      if (found == by_name_.end() || found->second.argument_bytes != launch.argument_bytes) {
        by_pointer_.erase(known);
        throw std::logic_error(std::string("kernel ") + launch.kernel +
                               (found == by_name_.end() ? " is in no family (cuda/kernels/all_kernels.cu)"
                                                        : " has other arguments here than where it was compiled"));
      }
      known->second = &found->second;
    }
    return *known->second;
  }
  const std::map<std::string, KernelEntry>& all() const { return by_name_; }

 private:
  std::map<std::string, KernelEntry> by_name_;
  std::unordered_map<const char*, const KernelEntry*> by_pointer_;
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
  /// A copy beside what is queued; what is queued from now on waits for it. `host` may be used again at once.
  virtual void start_to_device(void* device, const void* host, std::size_t bytes) = 0;
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
