// SPDX-License-Identifier: Apache-2.0
// Convolutions of several groups, and depthwise ones, at 8/8, 8/16 and 16/16 bits (forward and gradient), all threads,
// in billion multiply-accumulates a second. 17/17 bits are beyond the kernels of bytes and words and run in the written
// order, as every width would without kernels for groups. The error pass has weights on the shared grid. Every pass
// first checks that its result equals a run on the portable kernels.
#include <benchmark/benchmark.h>

#include "bench/conv_operation.h"

namespace bitcycle {
namespace {

struct Layer {
  const char* name;
  std::int64_t batch, size, channels, groups, stride;
};
constexpr Layer kLayers[] = {
    {"128x56x56, groups of 4", 4, 56, 128, 32, 1}, {"512x14x14, groups of 16", 16, 14, 512, 32, 1},
    {"240x28x28, groups of 80", 8, 28, 240, 3, 1}, {"256x28x28, groups of 8, stride 2", 8, 28, 256, 32, 2},
    {"144x32x32, depthwise", 16, 32, 144, 144, 1}, {"576x8x8, depthwise", 64, 8, 576, 576, 1},
};
struct Widths {
  int forward, gradient;
};
constexpr Widths kWidths[] = {{8, 8}, {8, 16}, {16, 16}, {17, 17}};

void pass(benchmark::State& state, bool backward) {
  const Layer& layer = kLayers[state.range(0)];
  const Widths& widths = kWidths[state.range(1)];
  ConvShape s;
  s.n = layer.batch;
  s.h = s.w = layer.size;
  s.c = s.o = layer.channels;
  s.groups = layer.groups;
  s.kh = s.kw = 3;
  s.stride = layer.stride;
  s.padding = 1;
  const auto run = [&](bench::ConvOperation& operation) {
    if (!backward) return operation.library->conv_forward(operation.forward);
    operation.library->conv_forward(operation.forward);
    operation.backward.stochastic = false;
    operation.backward.dx = operation.dx.as<float>();
    operation.backward.dw = operation.dw.as<float>();
    operation.library->conv_backward(operation.backward);
  };
  const auto make = [&](Isa isa) {
    return bench::ConvOperation(isa, s, ErrorWeights::kShared, {-0.5F, 0.5F}, widths.forward, widths.gradient);
  };
  bench::ConvOperation fast = make(Isa::kAuto);
  if (!bench::equals_portable(state, fast, make(Isa::kPortable), run)) return;
  for (auto _ : state) {
    if (backward) {
      fast.library->conv_backward(fast.backward);
    } else {
      fast.library->conv_forward(fast.forward);
    }
  }
  state.SetLabel(std::string(layer.name) + ", " + std::to_string(widths.forward) + "/" +
                 std::to_string(widths.gradient));
  state.counters["GMAC/s"] = benchmark::Counter(1e-9 * static_cast<double>(s.macs()) * (backward ? 2.0 : 1.0),
                                                benchmark::Counter::kIsIterationInvariantRate);
}
constexpr int kLastLayer = static_cast<int>(std::size(kLayers)) - 1,
              kLastWidths = static_cast<int>(std::size(kWidths)) - 1;
BENCHMARK_CAPTURE(pass, forward, false)
    ->ArgsProduct({benchmark::CreateDenseRange(0, kLastLayer, 1), benchmark::CreateDenseRange(0, kLastWidths, 1)})
    ->UseRealTime();
BENCHMARK_CAPTURE(pass, backward, true)
    ->ArgsProduct({benchmark::CreateDenseRange(0, kLastLayer, 1), benchmark::CreateDenseRange(0, kLastWidths, 1)})
    ->UseRealTime();

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
