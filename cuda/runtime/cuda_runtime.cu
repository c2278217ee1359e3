// SPDX-License-Identifier: Apache-2.0
// The Runtime on NVIDIA GPUs: one stream, a step as a CUDA graph, its records copied behind it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <type_traits>
#include <utility>

#include "cuda/device/make_cuda_library.h"
#include "cuda/kernels/all_kernels.h"
#include "cuda/runtime/step_graph.h"
#include "sim/device/kernel_library.h"

#if CUDART_VERSION < 12000
#error "bitcycle needs the CUDA Toolkit 12.0 or newer (C++20); without one, configure with -DBITCYCLE_CUDA=OFF"
#endif

namespace bitcycle {
namespace cuda {
namespace {

[[noreturn]] void fail(cudaError_t error, const std::string& operation) {
  throw std::runtime_error(
      "CUDA: " + operation + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
      "); the last checkpoint is whole, and the same command goes on from it, also with --device cpu");
}
void check(cudaError_t error, const std::string& operation) {
  if (error != cudaSuccess) fail(error, operation);
}
std::string mebibytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / 1048576.0);
  return text;
}

// What the CUDA runtime lends is given back whatever happens.
struct Deleter {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Deleter>;

Owned<cudaEvent_t> make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, flags), "making an event");
  return Owned<cudaEvent_t>(event);
}

/// Pinned memory of the host.
class Pinned {
 public:
  Pinned() = default;
  ~Pinned() { cudaFreeHost(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  void* data() const { return data_; }
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    void* old = std::exchange(data_, nullptr);
    bytes_ = 0;
    check(cudaFreeHost(old), "releasing pinned memory");
    check(cudaMallocHost(&data_, bytes), "allocating " + mebibytes(bytes) + " of pinned memory");
    bytes_ = bytes;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The first GPU, made the current one. Throws where there is none that the kernels can run on.
cudaDeviceProp first_gpu() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    throw std::runtime_error(std::string("device is 'cuda', and no NVIDIA GPU is at hand") +
                             (error == cudaSuccess ? "" : std::string(": ") + cudaGetErrorString(error)) +
                             "; use --device cpu");
  }
  check(cudaSetDevice(0), "selecting the GPU");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "reading the GPU's properties");
  if (properties.major < 8) {
    throw std::runtime_error(std::string("device is 'cuda', and ") + properties.name + " (sm_" +
                             std::to_string(properties.major * 10 + properties.minor) +
                             ") is older than sm_80, the first with what the kernels need; use --device cpu");
  }
  return properties;
}

class CudaRuntime final : public gpu::Runtime {
 public:
  explicit CudaRuntime(const CudaOptions& options) : options_(options), kernels_(all_kernels()) {
    const cudaDeviceProp properties = first_gpu();
    name_ = "sm_" + std::to_string(properties.major * 10 + properties.minor) + ", " + properties.name;
    processors_ = properties.multiProcessorCount;
    shared_bytes_ = properties.sharedMemPerBlockOptin;
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
    stream_.reset(stream);
    check(cudaDeviceGetStreamPriorityRange(&least_priority_, &greatest_priority_), "reading the range of priorities");
    begin_ = make_event(cudaEventDefault);
    end_ = make_event(cudaEventDefault);
    for (Copy& copy : copies_) copy.done = make_event(cudaEventDisableTiming);
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream of copies");
    upload_stream_.reset(stream);
    for (Upload& upload : uploads_) upload.done = make_event(cudaEventDisableTiming);
  }
  ~CudaRuntime() override {
    cudaStreamSynchronize(upload_stream_.get());
    cudaStreamSynchronize(stream_.get());
  }

  std::string name() const override { return name_; }
  int processors() const override { return processors_; }
  std::size_t shared_bytes() const override { return shared_bytes_; }

  void* allocate(std::size_t bytes) override {
    rethrow();
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, std::max<std::size_t>(bytes, 1));
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // the device goes on
      std::size_t available = 0, total = 0;
      cudaMemGetInfo(&available, &total);
      throw std::runtime_error("CUDA: device memory: " + mebibytes(bytes) + " were asked for, " + mebibytes(available) +
                               " of " + mebibytes(total) +
                               " are free; use a smaller batch (--set train.batch=N) or "
                               "--device cpu");
    }
    check(error, "allocating " + mebibytes(bytes));
    return data;
  }
  /// An error, which is one of something that ran before, is thrown by the next operation.
  void release(void* data) noexcept override {
    const cudaError_t error = cudaFree(data);
    if (error != cudaSuccess && failure_ == cudaSuccess) failure_ = error;
  }
  void to_device(void* device, const void* host, std::size_t bytes) override {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_.get()),
          "copying " + mebibytes(bytes) + " to the GPU");
    synchronise();
  }
  void to_host(void* host, const void* device, std::size_t bytes) override {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_.get()),
          "copying " + mebibytes(bytes) + " from the GPU");
    synchronise();
  }
  void start_to_device(void* device, const void* host, std::size_t bytes) override {
    rethrow();
    Upload& upload = uploads_[next_upload_++ % uploads_.size()];
    check(cudaEventSynchronize(upload.done.get()), "copying to the GPU");  // its pinned memory is used again
    upload.staging.reserve(bytes);
    std::memcpy(upload.staging.data(), host, bytes);
    check(cudaMemcpyAsync(device, upload.staging.data(), bytes, cudaMemcpyHostToDevice, upload_stream_.get()),
          "copying " + mebibytes(bytes) + " to the GPU");
    check(cudaEventRecord(upload.done.get(), upload_stream_.get()), "marking a copy");
    check(cudaStreamWaitEvent(stream_.get(), upload.done.get(), 0), "waiting for a copy");
  }
  void fill_zero(void* device, std::size_t bytes) override {
    check(cudaMemsetAsync(device, 0, bytes, stream_.get()), "clearing " + mebibytes(bytes));
  }
  void start_to_host(void* host, const void* device, std::size_t bytes) override {
    Copy& copy = copies_[next_copy_ % copies_.size()];
    if (copy.host != nullptr) throw std::logic_error("three copies to the host at once");
    copy.staging.reserve(bytes);
    check(cudaMemcpyAsync(copy.staging.data(), device, bytes, cudaMemcpyDeviceToHost, stream_.get()),
          "copying " + mebibytes(bytes) + " from the GPU");
    check(cudaEventRecord(copy.done.get(), stream_.get()), "marking a copy");
    copy.host = host;
    copy.bytes = bytes;
    ++next_copy_;
  }
  void finish_to_host() override {
    if (first_copy_ == next_copy_) throw std::logic_error("no copy to the host is on its way");
    Copy& copy = copies_[first_copy_++ % copies_.size()];
    void* host = std::exchange(copy.host, nullptr);
    check(cudaEventSynchronize(copy.done.get()), "running " + last_);
    std::memcpy(host, copy.staging.data(), copy.bytes);
  }
  void synchronise() override {
    rethrow();
    check(cudaStreamSynchronize(stream_.get()), "running " + last_);
  }

  void launch(const gpu::Launch& l) override {
    rethrow();
    last_ = l.name;
    void* arguments[] = {const_cast<std::byte*>(l.arguments.data())};
    check(cudaLaunchKernel(entry_of(l), dim3(static_cast<unsigned>(l.blocks)), dim3(static_cast<unsigned>(l.threads)),
                           arguments, l.shared_bytes, stream_.get()),
          std::string("launching ") + l.name + ", " + std::to_string(l.blocks) + " blocks of " +
              std::to_string(l.threads) + " threads, " + std::to_string(l.shared_bytes) + " bytes of shared memory");
  }

  double run_timed(const gpu::Launch& l) override {
    check(cudaEventRecord(begin_.get(), stream_.get()), std::string("timing ") + l.name);
    launch(l);
    check(cudaEventRecord(end_.get(), stream_.get()), std::string("timing ") + l.name);
    check(cudaEventSynchronize(end_.get()), std::string("running ") + l.name);
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), std::string("timing ") + l.name);
    return static_cast<double>(milliseconds) * 1e-3;
  }

  void run_step(const std::vector<gpu::Launch>& launches) override {
    rethrow();
    last_ = "a step of " + std::to_string(launches.size()) +
            " kernels (--cuda-serial runs them one by one and names the one that fails)";
    if (launches.empty()) return;
    const auto& graph = graphs_.of(
        launches, [&](const auto& list) { return make_graph(list); },
        [&](Graph& known, std::size_t i, const gpu::Launch& changed) {
          void* arguments[1];
          const cudaKernelNodeParams parameters = parameters_of(changed, arguments);
          check(cudaGraphExecKernelNodeSetParams(known.exec.get(), known.nodes[i], &parameters),
                std::string("updating ") + changed.name);
        },
        [&] { synchronise(); });
    check(cudaGraphLaunch(graph.native.exec.get(), stream_.get()), "launching " + last_);
  }

 private:
  /// A copy to the host on its way, by pinned memory.
  struct Copy {
    void* host = nullptr;  // null: none
    Pinned staging;
    std::size_t bytes = 0;
    Owned<cudaEvent_t> done;
  };
  /// A copy to the device beside the steps, by pinned memory.
  struct Upload {
    Pinned staging;
    Owned<cudaEvent_t> done;
  };
  struct Graph {
    std::vector<cudaGraphNode_t> nodes;
    Owned<cudaGraph_t> graph;
    Owned<cudaGraphExec_t> exec;
  };
  /// The error of something that could not be reported when it happened.
  void rethrow() {
    if (failure_ != cudaSuccess) fail(std::exchange(failure_, cudaSuccess), "releasing device memory");
  }
  /// A kernel with what it needs to be told once: that it takes more than 48 KiB of shared memory; and, where a block
  /// takes much, that its multiprocessor should have as much of it as there is, for the driver's guess leaves room for
  /// caches.
  const void* entry_of(const gpu::Launch& l) {
    const auto* entry = reinterpret_cast<const void*>(kernels_.of(l).entry);
    if (l.shared_bytes > 48 * 1024 && large_.insert(entry).second) {
      check(cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes_)),
            std::string("giving shared memory to ") + l.name);
    }
    if (options_.carveout && l.shared_bytes >= kMuchShared && carved_.insert(entry).second) {
      check(cudaFuncSetAttribute(entry, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
            std::string("preferring shared memory for ") + l.name);
    }
    return entry;
  }
  cudaKernelNodeParams parameters_of(const gpu::Launch& l, void* (&arguments)[1]) {
    arguments[0] = const_cast<std::byte*>(l.arguments.data());
    cudaKernelNodeParams parameters{};
    parameters.func = const_cast<void*>(entry_of(l));
    parameters.gridDim = dim3(static_cast<unsigned>(l.blocks));
    parameters.blockDim = dim3(static_cast<unsigned>(l.threads));
    parameters.sharedMemBytes = static_cast<unsigned>(l.shared_bytes);
    parameters.kernelParams = arguments;
    return parameters;
  }
  Graph make_graph(const std::vector<gpu::Launch>& launches) {
    Graph made;
    made.nodes.resize(launches.size());
    cudaGraph_t graph = nullptr;
    check(cudaGraphCreate(&graph, 0), "making a graph");
    made.graph.reset(graph);
    const auto predecessors = gpu::predecessors(launches);
    std::vector<cudaGraphNode_t> after;
    for (std::size_t i = 0; i < launches.size(); ++i) {
      void* arguments[1];
      const cudaKernelNodeParams parameters = parameters_of(launches[i], arguments);
      after.clear();
      for (const int before : predecessors[i]) after.push_back(made.nodes[static_cast<std::size_t>(before)]);
      check(cudaGraphAddKernelNode(&made.nodes[i], graph, after.data(), after.size(), &parameters),
            std::string("adding ") + launches[i].name + " to a graph");
      // The main sequence's blocks first: what is beside it fills the gaps. Where priorities are not to be had, results
      // are the same.
      cudaKernelNodeAttrValue priority{};
      priority.priority = launches[i].branch == 0 ? greatest_priority_ : least_priority_;
      if (cudaGraphKernelNodeSetAttribute(made.nodes[i], cudaKernelNodeAttributePriority, &priority) != cudaSuccess) {
        cudaGetLastError();
      }
    }
    cudaGraphExec_t exec = nullptr;
    check(cudaGraphInstantiate(&exec, graph, 0),
          "instantiating a graph of " + std::to_string(launches.size()) + " kernels");
    made.exec.reset(exec);
    return made;
  }

  static constexpr std::size_t kMuchShared = 16 * 1024;

  CudaOptions options_;
  gpu::KernelTable kernels_;
  std::set<const void*> large_, carved_;
  std::string name_, last_ = "the GPU's set-up";
  int processors_ = 1, least_priority_ = 0, greatest_priority_ = 0;
  std::size_t shared_bytes_ = 48 * 1024;
  cudaError_t failure_ = cudaSuccess;
  Owned<cudaStream_t> stream_;
  Owned<cudaEvent_t> begin_, end_;
  gpu::StepGraphs<Graph> graphs_;
  std::array<Copy, 2> copies_;
  std::size_t next_copy_ = 0, first_copy_ = 0;
  Owned<cudaStream_t> upload_stream_;
  std::array<Upload, 4> uploads_;  // of pixels and labels, of two steps
  std::size_t next_upload_ = 0;
};

}  // namespace
}  // namespace cuda

namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

CudaBuild cuda_build() { return {true, version_text(CUDART_VERSION), BITCYCLE_CUDA_TARGETS}; }

GpuFacts gpu_facts() {
  const cudaDeviceProp properties = cuda::first_gpu();
  GpuFacts facts;
  facts.name = properties.name;
  facts.compute_capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
  facts.multiprocessors = properties.multiProcessorCount;
  facts.shared_per_block = properties.sharedMemPerBlock;
  facts.shared_per_block_optin = properties.sharedMemPerBlockOptin;
  facts.shared_per_multiprocessor = properties.sharedMemPerMultiprocessor;
  facts.l2_cache = static_cast<std::size_t>(properties.l2CacheSize);
  facts.memory = properties.totalGlobalMem;
  std::size_t total = 0;
  cuda::check(cudaMemGetInfo(&facts.memory_free, &total), "reading how much memory is free");
  int driver = 0;
  cuda::check(cudaDriverGetVersion(&driver), "reading the driver's version");
  facts.driver = version_text(driver);
  facts.runtime = version_text(CUDART_VERSION);
  return facts;
}

std::unique_ptr<KernelLibrary> make_cuda_library(const CudaOptions& options) {
  return make_library_on(std::make_unique<cuda::CudaRuntime>(options), options);
}

}  // namespace bitcycle
