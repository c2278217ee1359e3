// SPDX-License-Identifier: Apache-2.0
// What the GPU at hand can do at best, as one JSON object: bytes a second from memory and from the L2 cache,
// multiply-accumulates a second of the tensor-core instruction that the products use, and microseconds a node of a
// CUDA graph. These are the roofs that ./run-tests --gpu --report holds the kernels against.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/kernels/device_cuda.h"

namespace bitcycle {
namespace {

constexpr int kSamples = 11;
constexpr double kWarmSeconds = 0.2;  // clocks rise under load; a sample at idle clocks would be too slow
constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kL2Buffer = 16 * kMiB;  // halved until it fits half of the GPU's L2

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// Kernels ------------------------------------------------------------------------------------------------------------

constexpr int kThreads = 512;

/// 16 bytes from the L2 cache or memory, never from the multiprocessor's own cache, and never left out.
__device__ uint4 load16(const uint4* p) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

__device__ std::size_t thread_of_grid() { return std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ std::size_t threads_of_grid() { return std::size_t{gridDim.x} * blockDim.x; }

/// Words without a pattern: what moves and multiplies zeros draws less power and could run faster.
__device__ std::uint32_t scrambled(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352DU;
  x = (x ^ (x >> 15)) * 0x846CA68BU;
  return x ^ (x >> 16);
}

__global__ void __launch_bounds__(kThreads) fill(uint4* to, std::size_t size) {
  for (std::size_t i = thread_of_grid(); i < size; i += threads_of_grid()) {
    const auto word = static_cast<std::uint32_t>(4 * i);
    to[i] = make_uint4(scrambled(word), scrambled(word + 1), scrambled(word + 2), scrambled(word + 3));
  }
}

constexpr int kCopies = 4;  // on their way at a time, a thread

__global__ void __launch_bounds__(kThreads) copy(const uint4* from, uint4* to, std::size_t size) {
  const std::size_t threads = threads_of_grid();
  for (std::size_t first = thread_of_grid(); first < size; first += kCopies * threads) {
    uint4 v[kCopies];
#pragma unroll
    for (int j = 0; j < kCopies; ++j) {
      if (first + j * threads < size) v[j] = load16(from + first + j * threads);
    }
#pragma unroll
    for (int j = 0; j < kCopies; ++j) {
      if (first + j * threads < size) to[first + j * threads] = v[j];
    }
  }
}

constexpr int kLoads = 8;  // on their way at a time, a thread

/// Each thread makes `rounds` times kLoads loads; together they go round the buffer, whose size is a power of two.
__global__ void __launch_bounds__(kThreads) read(const uint4* from, std::size_t size, int rounds, std::uint32_t* sink) {
  const std::size_t threads = threads_of_grid();
  std::size_t i = thread_of_grid();
  std::uint32_t all = 0;
  for (int round = 0; round < rounds; ++round) {
    uint4 v[kLoads];
#pragma unroll
    for (int j = 0; j < kLoads; ++j) v[j] = load16(from + ((i + j * threads) & (size - 1)));
#pragma unroll
    for (int j = 0; j < kLoads; ++j) all ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    i += kLoads * threads;
  }
  if (all == 0x5EED5EEDU) *sink = all;  // that it might be written keeps the sums
}

// mma.sync as the products use it. (Hopper's wgmma, which they do not use, is faster.)
constexpr int kTilesM = 2, kTilesN = 4;                     // independent sums a warp
constexpr int kMultiplyThreads = 256, kMultiplyBlocks = 4;  // blocks a multiprocessor, all of them at a time
constexpr std::int64_t kMacsOfInstruction = 16 * 8 * 32;

__global__ void __launch_bounds__(kMultiplyThreads, kMultiplyBlocks) multiply(int rounds, std::uint32_t* sink) {
  const auto seed = static_cast<std::uint32_t>(32 * thread_of_grid());
  std::int32_t d[kTilesM][kTilesN][4] = {};
  std::uint32_t a[kTilesM][4], b[kTilesN][2];
  for (std::uint32_t m = 0; m < kTilesM; ++m) {
    for (std::uint32_t i = 0; i < 4; ++i) a[m][i] = scrambled(seed + 4 * m + i);
  }
  for (std::uint32_t n = 0; n < kTilesN; ++n) {
    for (std::uint32_t i = 0; i < 2; ++i) b[n][i] = scrambled(seed + 16 + 2 * n + i);
  }
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) cuda::multiply_tiles<false>(d, a, b);
  std::uint32_t all = 0;
  for (const auto& row : d) {
    for (const auto& tile : row) {
      for (const std::int32_t sum : tile) all ^= static_cast<std::uint32_t>(sum);
    }
  }
  if (all == 0x5EED5EEDU) *sink = all;
}

__global__ void nothing() {}

// Host ---------------------------------------------------------------------------------------------------------------

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) { check(cudaMalloc(&p_, bytes), "device memory"); }
  ~DeviceMemory() { cudaFree(p_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(p_);
  }

 private:
  void* p_ = nullptr;
};

/// A stream with what measures it.
class Timer {
 public:
  Timer() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
    check(cudaEventCreate(&begin_), "event");
    check(cudaEventCreate(&end_), "event");
  }
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  cudaStream_t stream() const { return stream_; }
  void wait(const char* what) const { check(cudaStreamSynchronize(stream_), what); }

  /// Median seconds of what `launch` starts on the stream, once the GPU is warm from it.
  template <typename Launch>
  double median_seconds(const char* what, const Launch& launch) const {
    const auto start = std::chrono::steady_clock::now();
    do {
      launch();
      check(cudaGetLastError(), what);
      wait(what);
    } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < kWarmSeconds);
    std::vector<float> samples(kSamples);
    for (float& milliseconds : samples) {
      check(cudaEventRecord(begin_, stream_), what);
      launch();
      check(cudaGetLastError(), what);
      check(cudaEventRecord(end_, stream_), what);
      check(cudaEventSynchronize(end_), what);
      check(cudaEventElapsedTime(&milliseconds, begin_, end_), what);
    }
    std::sort(samples.begin(), samples.end());
    return 1e-3 * static_cast<double>(samples[kSamples / 2]);
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// The best over grids of several sizes: which one fills memory's queues best differs from GPU to GPU.
template <typename Rate>
double best_grid(int multiprocessors, const Rate& rate) {
  double best = 0.0;
  for (const int blocks : {2, 3, 4, 16, 64}) best = std::max(best, rate(blocks * multiprocessors));
  return best;
}

double copy_rate(const Timer& timer, int multiprocessors, uint4* buffer, std::size_t bytes) {
  const std::size_t size = bytes / 2 / sizeof(uint4);
  fill<<<16 * multiprocessors, kThreads, 0, timer.stream()>>>(buffer, size);
  check(cudaGetLastError(), "fill");
  check(cudaMemsetAsync(buffer + size, 0, bytes / 2, timer.stream()), "memset");
  timer.wait("fill");
  const double rate = best_grid(multiprocessors, [&](int blocks) {
    const double seconds = timer.median_seconds(
        "copy", [&] { copy<<<blocks, kThreads, 0, timer.stream()>>>(buffer, buffer + size, size); });
    return static_cast<double>(bytes) / seconds;  // half of them read, half of them written
  });
  uint4 ends[2][2];
  for (const int half : {0, 1}) {
    const uint4* first = buffer + static_cast<std::size_t>(half) * size;
    check(cudaMemcpy(&ends[half][0], first, sizeof(uint4), cudaMemcpyDefault), "copy");
    check(cudaMemcpy(&ends[half][1], first + size - 1, sizeof(uint4), cudaMemcpyDefault), "copy");
  }
  if (std::memcmp(ends[0], ends[1], sizeof ends[0]) != 0) throw std::runtime_error("copy: the copy differs");
  return rate;
}

/// Bytes a second of reading a buffer of a power of two bytes, so often round that about `total` bytes are read.
double read_rate(const Timer& timer, int multiprocessors, const uint4* buffer, std::size_t bytes, std::size_t total,
                 std::uint32_t* sink) {
  return best_grid(multiprocessors, [&](int blocks) {
    const std::size_t at_once = static_cast<std::size_t>(blocks) * kThreads * kLoads * sizeof(uint4);
    const auto rounds = static_cast<int>((total + at_once - 1) / at_once);
    const double seconds = timer.median_seconds(
        "read", [&] { read<<<blocks, kThreads, 0, timer.stream()>>>(buffer, bytes / sizeof(uint4), rounds, sink); });
    return static_cast<double>(at_once) * rounds / seconds;
  });
}

double mac_rate(const Timer& timer, int multiprocessors, std::uint32_t* sink) {
  constexpr int kRounds = 32768;
  const int blocks = kMultiplyBlocks * multiprocessors;
  const double seconds = timer.median_seconds(
      "multiply", [&] { multiply<<<blocks, kMultiplyThreads, 0, timer.stream()>>>(kRounds, sink); });
  const double instructions = static_cast<double>(blocks) * (kMultiplyThreads / 32) * kTilesM * kTilesN * kRounds;
  return instructions * static_cast<double>(kMacsOfInstruction) / seconds;
}

double microseconds_of_node(const Timer& timer) {
  constexpr int kNodes = 500;
  constexpr int kLaunches = 10;  // the CPU starts the next graph while one runs, as a training does
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  nothing<<<1, 32, 0, timer.stream()>>>();  // loads it: that may not happen within a capture
  check(cudaGetLastError(), "graph");
  timer.wait("graph");
  check(cudaStreamBeginCapture(timer.stream(), cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < kNodes; ++i) nothing<<<1, 32, 0, timer.stream()>>>();
  check(cudaStreamEndCapture(timer.stream(), &graph), "capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  const double seconds = timer.median_seconds("graph", [&] {
    for (int i = 0; i < kLaunches; ++i) check(cudaGraphLaunch(executable, timer.stream()), "graph");
  });
  check(cudaGraphExecDestroy(executable), "graph");
  check(cudaGraphDestroy(graph), "graph");
  return 1e6 * seconds / (kNodes * kLaunches);
}

void measure() {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    throw std::runtime_error(std::string("no NVIDIA GPU is at hand") +
                             (found == cudaSuccess ? "" : std::string(" (") + cudaGetErrorString(found) + ")") +
                             ": a GPU with its driver is needed to measure its limits");
  }
  cudaDeviceProp gpu{};
  check(cudaSetDevice(0), "device 0");
  check(cudaGetDeviceProperties(&gpu, 0), "device 0");
  if (gpu.major < 8) {
    throw std::runtime_error(std::string(gpu.name) + " has compute capability " + std::to_string(gpu.major) + "." +
                             std::to_string(gpu.minor) + "; 8.0 or newer is needed");
  }
  // Memory's rates need a buffer beside which the L2 cache is small.
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory");
  std::size_t bytes = 4096 * kMiB;
  while (bytes > free / 4 * 3) bytes /= 2;
  if (bytes < 512 * kMiB) {
    throw std::runtime_error("only " + std::to_string(free / kMiB) +
                             " MiB of the GPU's memory are free; 700 are needed");
  }
  const DeviceMemory buffer(bytes), sink(sizeof(std::uint32_t));
  const Timer timer;
  const int multiprocessors = gpu.multiProcessorCount;
  auto* words = buffer.as<uint4>();
  const double copied = copy_rate(timer, multiprocessors, words, bytes);
  const double read_only = read_rate(timer, multiprocessors, words, bytes, bytes, sink.as<std::uint32_t>());
  std::size_t l2_buffer = kL2Buffer;
  while (l2_buffer > kMiB && 2 * l2_buffer > static_cast<std::size_t>(gpu.l2CacheSize)) l2_buffer /= 2;
  const double l2 = read_rate(timer, multiprocessors, words, l2_buffer, 16384 * kMiB, sink.as<std::uint32_t>());
  const double macs = mac_rate(timer, multiprocessors, sink.as<std::uint32_t>());
  const double node = microseconds_of_node(timer);
  // What events around one launch on an idle GPU, as --profile takes them, show of a kernel that does nothing.
  const double launch = 1e6 * timer.median_seconds("launch", [&] { nothing<<<1, 32, 0, timer.stream()>>>(); });
  std::printf(
      "{\n  \"gpu\": \"%s\",\n  \"multiprocessors\": %d,\n  \"l2_bytes\": %d,\n  \"copy_bytes_per_second\": %.6g,\n"
      "  \"read_bytes_per_second\": %.6g,\n  \"l2_read_bytes_per_second\": %.6g,\n"
      "  \"int8_mma_macs_per_second\": %.6g,\n  \"graph_node_microseconds\": %.4g,\n"
      "  \"timed_launch_microseconds\": %.4g\n}\n",
      gpu.name, multiprocessors, gpu.l2CacheSize, copied, read_only, l2, macs, node, launch);
}

}  // namespace
}  // namespace bitcycle

int main() {
  try {
    bitcycle::measure();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gpu_limits: error: %s\n", error.what());
    return 1;
  }
}
