// SPDX-License-Identifier: Apache-2.0
// The Runtime on NVIDIA GPUs: one stream, a step as a CUDA graph, its records copied behind it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "sim/cuda/cuda_backend.inl"

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

class CudaRuntime final : public gpu::Runtime {
 public:
  CudaRuntime() {
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
    name_ = "sm_" + std::to_string(properties.major * 10 + properties.minor) + ", " + properties.name;
    processors_ = properties.multiProcessorCount;
    shared_bytes_ = properties.sharedMemPerBlockOptin;
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    check(cudaDeviceGetStreamPriorityRange(&least_priority_, &greatest_priority_), "reading the range of priorities");
    check(cudaEventCreate(&begin_), "making an event");
    check(cudaEventCreate(&end_), "making an event");
    for (Copy& copy : copies_) {
      check(cudaEventCreateWithFlags(&copy.done, cudaEventDisableTiming), "making an event");
    }
  }
  ~CudaRuntime() override {
    for (auto& graph : graphs_) {
      cudaGraphExecDestroy(graph.exec);
      cudaGraphDestroy(graph.graph);
    }
    for (const Copy& copy : copies_) {
      cudaEventDestroy(copy.done);
      cudaFreeHost(copy.staging);
    }
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }
  CudaRuntime(const CudaRuntime&) = delete;
  CudaRuntime& operator=(const CudaRuntime&) = delete;

  std::string name() const override { return name_; }
  int processors() const override { return processors_; }
  std::size_t shared_bytes() const override { return shared_bytes_; }

  void* allocate(std::size_t bytes) override {
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
  void release(void* data) noexcept override { cudaFree(data); }
  void to_device(void* device, const void* host, std::size_t bytes) override {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_),
          "copying " + mebibytes(bytes) + " to the GPU");
    synchronise();
  }
  void to_host(void* host, const void* device, std::size_t bytes) override {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_),
          "copying " + mebibytes(bytes) + " from the GPU");
    synchronise();
  }
  void fill_zero(void* device, std::size_t bytes) override {
    check(cudaMemsetAsync(device, 0, bytes, stream_), "clearing " + mebibytes(bytes));
  }
  void start_to_host(void* host, const void* device, std::size_t bytes) override {
    Copy& copy = copies_[next_copy_++ % copies_.size()];
    if (copy.host != nullptr) throw std::logic_error("three copies to the host at once");
    if (copy.room < bytes) {
      if (copy.staging != nullptr) check(cudaFreeHost(copy.staging), "releasing pinned memory");
      copy.staging = nullptr;
      check(cudaMallocHost(&copy.staging, bytes), "allocating " + mebibytes(bytes) + " of pinned memory");
      copy.room = bytes;
    }
    check(cudaMemcpyAsync(copy.staging, device, bytes, cudaMemcpyDeviceToHost, stream_),
          "copying " + mebibytes(bytes) + " from the GPU");
    check(cudaEventRecord(copy.done, stream_), "marking a copy");
    copy.host = host;
    copy.bytes = bytes;
  }
  void finish_to_host() override {
    Copy& copy = copies_[first_copy_++ % copies_.size()];
    check(cudaEventSynchronize(copy.done), "running " + last_);
    std::memcpy(std::exchange(copy.host, nullptr), copy.staging, copy.bytes);
  }
  void synchronise() override { check(cudaStreamSynchronize(stream_), "running " + last_); }

  void launch(const gpu::Launch& l) override {
    last_ = l.name;
    allow_shared(l);
    void* arguments[] = {const_cast<std::byte*>(l.arguments.data())};
    check(cudaLaunchKernel(reinterpret_cast<const void*>(l.entry), dim3(static_cast<unsigned>(l.blocks)),
                           dim3(static_cast<unsigned>(l.threads)), arguments, l.shared_bytes, stream_),
          std::string("launching ") + l.name + ", " + std::to_string(l.blocks) + " blocks of " +
              std::to_string(l.threads) + " threads");
  }

  double run_timed(const gpu::Launch& l) override {
    check(cudaEventRecord(begin_, stream_), std::string("timing ") + l.name);
    launch(l);
    check(cudaEventRecord(end_, stream_), std::string("timing ") + l.name);
    check(cudaEventSynchronize(end_), std::string("running ") + l.name);
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), std::string("timing ") + l.name);
    return static_cast<double>(milliseconds) * 1e-3;
  }

  void run_step(const std::vector<gpu::Launch>& launches) override {
    last_ =
        "a step of " + std::to_string(launches.size()) + " kernels (--profile runs them one by one and names the one)";
    if (launches.empty()) return;
    Graph* graph = nullptr;
    for (auto& known : graphs_) {
      if (std::equal(known.launches.begin(), known.launches.end(), launches.begin(), launches.end(),
                     [](const auto& a, const auto& b) { return a.same_shape(b); })) {
        graph = &known;
        break;
      }
    }
    if (graph == nullptr) {
      graph = &make_graph(launches);
    } else {
      for (std::size_t i = 0; i < launches.size(); ++i) {
        if (graph->launches[i].same_arguments(launches[i])) continue;
        graph->launches[i] = launches[i];
        void* arguments[1];
        const cudaKernelNodeParams parameters = parameters_of(graph->launches[i], arguments);
        check(cudaGraphExecKernelNodeSetParams(graph->exec, graph->nodes[i], &parameters),
              std::string("updating ") + launches[i].name);
      }
    }
    check(cudaGraphLaunch(graph->exec, stream_), "launching " + last_);
  }

 private:
  /// A copy to the host on its way, by pinned memory.
  struct Copy {
    void* host = nullptr;  // null: none
    void* staging = nullptr;
    std::size_t bytes = 0, room = 0;
    cudaEvent_t done = nullptr;
  };
  struct Graph {
    std::vector<gpu::Launch> launches;
    std::vector<cudaGraphNode_t> nodes;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
  };
  /// Kernels that take more than 48 KiB of shared memory have to say so once.
  void allow_shared(const gpu::Launch& l) {
    if (l.shared_bytes <= 48 * 1024 || !large_.insert(l.entry).second) return;
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(l.entry), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes_)),
          std::string("giving shared memory to ") + l.name);
  }
  static cudaKernelNodeParams parameters_of(gpu::Launch& l, void* (&arguments)[1]) {
    arguments[0] = l.arguments.data();
    cudaKernelNodeParams parameters{};
    parameters.func = reinterpret_cast<void*>(l.entry);
    parameters.gridDim = dim3(static_cast<unsigned>(l.blocks));
    parameters.blockDim = dim3(static_cast<unsigned>(l.threads));
    parameters.sharedMemBytes = static_cast<unsigned>(l.shared_bytes);
    parameters.kernelParams = arguments;
    return parameters;
  }
  Graph& make_graph(const std::vector<gpu::Launch>& launches) {
    Graph made;
    made.launches = launches;
    made.nodes.resize(launches.size());
    check(cudaGraphCreate(&made.graph, 0), "making a graph");
    const auto predecessors = gpu::predecessors(launches);
    std::vector<cudaGraphNode_t> after;
    for (std::size_t i = 0; i < launches.size(); ++i) {
      void* arguments[1];
      allow_shared(launches[i]);
      const cudaKernelNodeParams parameters = parameters_of(made.launches[i], arguments);
      after.clear();
      for (const int before : predecessors[i]) after.push_back(made.nodes[static_cast<std::size_t>(before)]);
      check(cudaGraphAddKernelNode(&made.nodes[i], made.graph, after.data(), after.size(), &parameters),
            std::string("adding ") + launches[i].name + " to a graph");
      // The trunk's blocks first: what is beside it fills the gaps. Where priorities are not to be had, results are the
      // same.
      cudaKernelNodeAttrValue priority{};
      priority.priority = launches[i].branch == 0 ? greatest_priority_ : least_priority_;
      if (cudaGraphKernelNodeSetAttribute(made.nodes[i], cudaKernelNodeAttributePriority, &priority) != cudaSuccess) {
        cudaGetLastError();
      }
    }
    check(cudaGraphInstantiate(&made.exec, made.graph, 0),
          "instantiating a graph of " + std::to_string(launches.size()) + " kernels");
    graphs_.push_back(std::move(made));
    return graphs_.back();
  }

  std::string name_, last_ = "the GPU's set-up";
  int processors_ = 1, least_priority_ = 0, greatest_priority_ = 0;
  std::size_t shared_bytes_ = 48 * 1024;
  std::set<void (*)()> large_;  // kernels that may have all of it
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  std::vector<Graph> graphs_;
  std::array<Copy, 2> copies_;
  std::size_t next_copy_ = 0, first_copy_ = 0;
};

}  // namespace
}  // namespace cuda

CudaBuild cuda_build() {
  return {true, std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10),
          BITCYCLE_CUDA_TARGETS};
}

std::unique_ptr<Backend> make_cuda_backend() {
  return std::make_unique<cuda::CudaBackend>(std::make_unique<cuda::CudaRuntime>());
}

}  // namespace bitcycle
