// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/host_runtime.h"

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>
#include <numeric>

#include "cuda/device/make_cuda_library.h"
#include "cuda/kernels/all_kernels.h"
#include "cuda/runtime/step_graph.h"
#include "sim/device/kernel_device.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::cuda_on_host {
namespace {

class HostRuntime final : public gpu::Runtime {
 public:
  HostRuntime(const HostOptions& options, AccessCounts* counts, GraphCounts* graphs)
      : options_(options),
        counts_(counts),
        graphs_(graphs),
        kernels_(all_kernels()),
        arena_(options.threads == 0 ? tbb::task_arena::automatic : options.threads) {}
  std::string name() const override { return "host"; }
  int processors() const override { return options_.processors; }
  std::size_t shared_bytes() const override { return options_.shared_bytes; }
  void* allocate(std::size_t bytes) override {
    // As many bytes as are asked for, so that AddressSanitizer sees the first one behind them.
    void* data = ::operator new (std::max<std::size_t>(bytes, 1), std::align_val_t{64}, std::nothrow);
    if (data == nullptr) {
      throw std::runtime_error("device memory: " + std::to_string(bytes) + " bytes cannot be had; use a smaller batch");
    }
    if (options_.executes) std::memset(data, 0xCD, bytes);
    return data;
  }
  void release(void* data) noexcept override { ::operator delete (data, std::align_val_t{64}); }
  void to_device(void* device, const void* host, std::size_t bytes) override { std::memcpy(device, host, bytes); }
  void to_host(void* host, const void* device, std::size_t bytes) override { std::memcpy(host, device, bytes); }
  void start_to_device(void* device, const void* host, std::size_t bytes) override { to_device(device, host, bytes); }
  void fill_zero(void* device, std::size_t bytes) override {
    if (options_.executes) std::memset(device, 0, bytes);
  }
  /// The copy is kept apart until it is waited for, as a GPU's is.
  void start_to_host(void* host, const void* device, std::size_t bytes) override {
    if (copies_.size() == 2) throw std::logic_error("three copies to the host at once");
    const auto* from = static_cast<const std::byte*>(device);
    copies_.push_back({host, std::vector<std::byte>(from, from + bytes)});
  }
  void finish_to_host() override {
    if (copies_.empty()) throw std::logic_error("no copy to the host is on its way");
    std::memcpy(copies_.front().host, copies_.front().data.data(), copies_.front().data.size());
    copies_.pop_front();
  }
  void synchronise() override {}

  void launch(const gpu::Launch& l) override {
    if (!options_.executes) return;
    if (options_.fails_at != 0 && launches_ + 1 == options_.fails_at) {
      ++launches_;
      throw std::runtime_error(std::string(l.name) + ": a failure on purpose");
    }
    if (!options_.skips.empty() && options_.skips == l.name) return;
    if (l.blocks < 1)
      throw std::runtime_error(std::string(l.name) + ": a grid of " + std::to_string(l.blocks) + " blocks");
    if (l.shared_bytes > shared_bytes()) {
      throw std::runtime_error(std::string(l.name) + ": " + std::to_string(l.shared_bytes) +
                               " bytes of shared memory; " + std::to_string(shared_bytes()) + " are there");
    }
    std::vector<int> order(static_cast<std::size_t>(l.blocks));
    std::iota(order.begin(), order.end(), 0);
    std::uint64_t random = options_.seed * 0x9E3779B97F4A7C15U + ++launches_;
    if (options_.seed != 0) {
      for (std::size_t i = order.size(); i > 1; --i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        std::swap(order[i - 1], order[(random >> 33) % i]);
      }
    }
    const auto entry = reinterpret_cast<void (*)(const void*)>(kernels_.of(l).entry);
    arena_.execute([&] {
      tbb::parallel_for(
          0, l.blocks,
          [&](int i) {
            thread_local Block block;
            BlockOptions options;
            const int index = order[static_cast<std::size_t>(i)];
            options.seed = options_.seed == 0 ? 0 : options_.seed + launches_;
            // The second block, where there is one: the first may have something else to do.
            options.count = options_.count && index == std::min(1, l.blocks - 1);
            block.run(l.name, entry, l.arguments.data(), index, l.blocks, l.threads, l.shared_bytes, options);
            if (!options.count || counts_ == nullptr) return;
            AccessCount& sum = (*counts_)[l.name];
            const AccessCount& one = block.accesses();
            sum.global_requests += one.global_requests;
            sum.global_sectors += one.global_sectors;
            sum.least_sectors += one.least_sectors;
            sum.shared_requests += one.shared_requests;
            sum.shared_cycles += one.shared_cycles;
            sum.least_cycles += one.least_cycles;
          },
          tbb::simple_partitioner());
    });
  }

  double run_timed(const gpu::Launch& l) override {
    const auto start = std::chrono::steady_clock::now();
    launch(l);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// As the CUDA runtime does it, with a list in place of the graph: the list's own copies of the arguments are what
  /// runs, so that a node that is not updated shows.
  void run_step(const std::vector<gpu::Launch>& launches) override {
    const std::int64_t made = made_;
    std::int64_t updated = 0;
    const auto& graph = step_graphs_.of(
        launches,
        [&](const auto&) {
          ++made_;
          return NoGraph{};
        },
        [&](NoGraph&, std::size_t, const gpu::Launch&) { ++updated; }, [] {});
    if (graphs_ != nullptr) {
      graphs_->made = made_;
      graphs_->kept = static_cast<std::int64_t>(step_graphs_.size());
      graphs_->replayed += made_ == made ? 1 : 0;
      graphs_->updated += updated;
      graphs_->nodes = static_cast<std::int64_t>(graph.launches.size());
      graphs_->critical_path = gpu::critical_path(graph.launches);
      graphs_->kernels.clear();
      for (const auto& one : graph.launches) {
        GraphCounts::Kernel& kernel = graphs_->kernels[one.name];
        kernel.launches += 1;
        kernel.in_branches += one.branch != 0 ? 1 : 0;
        kernel.macs += one.work.macs;
        kernel.bytes += one.work.bytes;
      }
    }
    if (options_.executes) run_in_any_order(graph.launches);
  }

 private:
  /// A launch runs when those it waits for have run; a seed chooses among all that could.
  void run_in_any_order(const std::vector<gpu::Launch>& graph) {
    if (options_.seed == 0) {
      for (const auto& one : graph) launch(one);
      return;
    }
    const auto after = gpu::predecessors(graph);
    std::vector<std::vector<std::size_t>> followers(graph.size());
    std::vector<std::size_t> missing(graph.size()), ready;
    for (std::size_t i = 0; i < graph.size(); ++i) {
      for (const int before : after[i]) followers[static_cast<std::size_t>(before)].push_back(i);
      missing[i] = after[i].size();
      if (missing[i] == 0) ready.push_back(i);
    }
    std::uint64_t random = options_.seed + 0x9E3779B97F4A7C15U * ++steps_;  // every step in another order
    while (!ready.empty()) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      std::swap(ready[(random >> 33) % ready.size()], ready.back());
      const std::size_t next = ready.back();
      ready.pop_back();
      launch(graph[next]);
      for (const std::size_t follower : followers[next]) {
        if (--missing[follower] == 0) ready.push_back(follower);
      }
    }
  }

  struct Copy {
    void* host;
    std::vector<std::byte> data;
  };
  std::deque<Copy> copies_;
  HostOptions options_;
  AccessCounts* counts_;
  GraphCounts* graphs_;
  gpu::KernelTable kernels_;
  tbb::task_arena arena_;
  std::uint64_t launches_ = 0, steps_ = 0;
  struct NoGraph {};
  gpu::StepGraphs<NoGraph> step_graphs_;
  std::int64_t made_ = 0;
};

}  // namespace

std::unique_ptr<KernelLibrary> make_cuda_library_on_host(const HostOptions& options, AccessCounts* counts,
                                                         GraphCounts* graphs) {
  return make_library_on(std::make_unique<HostRuntime>(options, counts, graphs), options.cuda);
}

std::unique_ptr<Device> make_cuda_device_on_host(const HostOptions& options, AccessCounts* counts,
                                                 GraphCounts* graphs) {
  return make_kernel_device(make_cuda_library_on_host(options, counts, graphs));
}

}  // namespace bitcycle::cuda_on_host

namespace bitcycle {

std::unique_ptr<Device> make_cuda_on_host_device(const CudaOptions& options) {
  return make_kernel_device(make_cuda_on_host_library(options));
}

std::unique_ptr<KernelLibrary> make_cuda_on_host_library(const CudaOptions& options) {
  cuda_on_host::HostOptions host;
  host.cuda = options;
  return cuda_on_host::make_cuda_library_on_host(host);
}

}  // namespace bitcycle
