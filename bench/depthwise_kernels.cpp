// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions of MobileNetV2 (CIFAR, batch 128) at 8 x 8 bits, all threads, as shares of the memory
// bandwidth: each iteration times the pass and a copy of large arrays, one after the other, so that both meet the same
// machine; the best of each counts. `CPU share` is the same from the threads' own time, which other programs disturb
// less. Bytes of a pass are those that it must move: the tensors that it reads and writes, each once. `product` and
// `gradient` are the kernels of a pass alone, from codes that are there to values: without norms, noise and sums. The
// forward pass's product is that of error_requantised. Every pass first checks that its result equals a run on the
// portable kernels.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <vector>

#include "bench/conv_operation.h"
#include "sim/cpu/workers.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kBatch = 128;

struct Layer {
  const char* name;
  std::int64_t size, channels, stride;
};
constexpr Layer kLayers[] = {
    {"32x32x32", 32, 32, 1}, {"144x32x32", 32, 144, 1}, {"144x32x32 stride 2", 32, 144, 2}, {"192x16x16", 16, 192, 1},
    {"384x8x8", 8, 384, 1},  {"576x8x8", 8, 576, 1},    {"576x8x8 stride 2", 8, 576, 2},    {"960x4x4", 4, 960, 1},
};

ConvShape shape_of(const Layer& layer) {
  ConvShape s;
  s.n = kBatch;
  s.h = s.w = layer.size;
  s.c = s.o = s.groups = layer.channels;
  s.kh = s.kw = 3;
  s.stride = layer.stride;
  s.padding = 1;
  return s;
}

/// Seconds of the wall and of all threads together.
struct Seconds {
  double wall = 0.0, threads = 0.0;
};
Seconds now() {
  std::timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
          static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec)};
}
Seconds since(const Seconds& start) {
  const Seconds end = now();
  return {end.wall - start.wall, end.threads - start.threads};
}
void keep_least(Seconds& least, const Seconds& one) {
  least.wall = least.wall > 0.0 ? std::min(least.wall, one.wall) : one.wall;
  least.threads = least.threads > 0.0 ? std::min(least.threads, one.threads) : one.threads;
}

/// Bytes a second, read and written, of a copy between arrays that no cache near a core holds.
class Copy {
 public:
  Copy() : workers_(0), from_(kBytes, char{1}), to_(kBytes) {}
  Seconds run() {
    const Seconds start = now();
    workers_.chunks(kBytes, 1 << 20, [&](int, std::int64_t begin, std::int64_t end) {
      std::memcpy(to_.data() + begin, from_.data() + begin, static_cast<std::size_t>(end - begin));
    });
    return since(start);
  }
  static constexpr double kMoved = 2.0 * (96 << 20);

 private:
  static constexpr std::int64_t kBytes = 96 << 20;
  cpu::Workers workers_;
  std::vector<char> from_, to_;
};

/// One layer's passes with everything they need, as a step runs them: batch norm and rectifier of the layer before on
/// the way in, statistics behind the forward pass, the norms' sums behind the error pass.
struct Operation : bench::ConvOperation {
  Operation(Isa isa, const ConvShape& s, ErrorWeights error_weights)
      : ConvOperation(isa, s, error_weights, {0.0F, 0.5F}) {
    norms = Buffer(*library, static_cast<std::size_t>(2 * s.c) * sizeof(NormChannel));
    gradients = Buffer(*library, static_cast<std::size_t>(s.o) * sizeof(NormGradientChannel));
    sums = Buffer(*library, static_cast<std::size_t>(s.c) * sizeof(NormGradientSums));
    for (std::int64_t c = 0; c < s.c; ++c) {
      norms.as<NormChannel>()[c] = norms.as<NormChannel>()[s.c + c] = {0.01F, 0.9F, 0.9F, 0.1F, 0.75F};
      gradients.as<NormGradientChannel>()[c] = {0.5F, 1e-4F, 1e-5F};
    }
    forward.input = {x.as<float>(), norms.as<NormChannel>()};
    backward.gradient = {u.as<float>(), y.as<float>(), norms.as<NormChannel>() + s.c,
                         gradients.as<NormGradientChannel>()};
    backward.stochastic = true;
    backward.noise = philox_stream(1, 2, RandomPurpose::kGradientRounding, 3);
    gradient_sum.mask_y = x.as<float>();
    gradient_sum.mask_norm = norms.as<NormChannel>();
    gradient_sum.u = dx.as<float>();
    gradient_sum.norm[0] = {x.as<float>(), norms.as<NormChannel>(), sums.as<NormGradientSums>()};
    library->conv_forward(forward);
  }
  /// The kernels alone: error products go to dx, weight gradients to dw.
  void run_alone(bool product) {
    if (!codes_made) library->conv_backward(backward);
    codes_made = true;
    ConvBackward kernels = backward;
    kernels.gradient = {};
    kernels.gradient_sum = nullptr;
    kernels.dx = product ? dx.as<float>() : nullptr;
    kernels.dw = product ? nullptr : dw.as<float>();
    library->conv_backward(kernels);
  }
  Buffer norms, gradients, sums;
  GradientSum gradient_sum;
  bool codes_made = false;
};

enum Kind {
  kForward,
  kErrorRequantised,
  kErrorShared,
  kWeightGradient,
  kBackward,
  kProductRequantised,
  kProductShared,
  kGradient
};
bool is_shared(Kind kind) { return kind == kErrorShared || kind == kBackward || kind == kProductShared; }

void run(Operation& operation, Kind kind) {
  if (kind == kForward) return operation.library->conv_forward(operation.forward);
  if (kind >= kProductRequantised) return operation.run_alone(kind != kGradient);
  operation.backward.gradient_sum = kind == kWeightGradient ? nullptr : &operation.gradient_sum;
  const bool gradient = kind == kWeightGradient || kind == kBackward;
  operation.backward.dw = gradient ? operation.dw.as<float>() : nullptr;
  operation.library->conv_backward(operation.backward);
}

/// Bytes that a pass must move. Forward: y of the layer before, codes, y. Backward: u and y, codes g; x's codes for the
/// weight gradient; y of the layer before and its u for the error pass. Kernels alone: codes, and dx.
double bytes_of(const ConvShape& s, Kind kind) {
  const auto in = static_cast<double>(s.input_size()), out = static_cast<double>(s.output_size());
  if (kind == kForward) return 5.0 * in + 4.0 * out;
  if (kind == kGradient) return in + out;
  if (kind >= kProductRequantised) return out + 4.0 * in;
  double bytes = 9.0 * out;
  if (kind == kWeightGradient || kind == kBackward) bytes += in;
  if (kind != kWeightGradient) bytes += 8.0 * in;
  return bytes;
}

void pass(benchmark::State& state, Kind kind) {
  const Layer& layer = kLayers[state.range(0)];
  const ConvShape s = shape_of(layer);
  const auto error_weights = is_shared(kind) ? ErrorWeights::kShared : ErrorWeights::kRequantised;
  Operation fast(Isa::kAuto, s, error_weights);
  if (!bench::equals_portable(state, fast, Operation(Isa::kPortable, s, error_weights),
                              [&](Operation& operation) { run(operation, kind); })) {
    return;
  }
  static Copy copy;
  Seconds copying, passing;
  for (auto _ : state) {
    keep_least(copying, copy.run());
    const Seconds start = now();
    run(fast, kind);
    const Seconds spent = since(start);
    keep_least(passing, spent);
    state.SetIterationTime(spent.wall);
  }
  const double bytes = bytes_of(s, kind);
  state.SetLabel(layer.name);
  state.counters["CPU ms"] = 1e3 * passing.threads;
  state.counters["GB/s"] = 1e-9 * bytes / passing.wall;
  state.counters["copy GB/s"] = 1e-9 * Copy::kMoved / copying.wall;
  state.counters["share %"] = 100.0 * bytes / passing.wall / (Copy::kMoved / copying.wall);
  state.counters["CPU share %"] = 100.0 * bytes / passing.threads / (Copy::kMoved / copying.threads);
}
constexpr int kLast = static_cast<int>(std::size(kLayers)) - 1;
BENCHMARK_CAPTURE(pass, forward, kForward)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, error_requantised, kErrorRequantised)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, error_shared, kErrorShared)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, weight_gradient, kWeightGradient)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, backward, kBackward)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, product_requantised, kProductRequantised)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, product_shared, kProductShared)->DenseRange(0, kLast)->UseManualTime();
BENCHMARK_CAPTURE(pass, gradient, kGradient)->DenseRange(0, kLast)->UseManualTime();

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
