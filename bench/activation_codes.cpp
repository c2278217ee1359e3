// SPDX-License-Identifier: Apache-2.0
// Codes of M x K activations, and their arrangement for products, as shares of the memory bandwidth: each iteration
// times a pass over tensors that no cache near a core holds and a copy of large arrays, in turns, all threads, so that
// both meet the same machine; the least of each counts. Bytes of a pass are those that it must move: values read once,
// codes written once, and, where they are arranged, the arranged bytes written once. `CPU share` is the same of the
// threads' own time, which other programs disturb less.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <vector>

#include "sim/cpu/isa.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/number/philox.h"

namespace bitcycle {
namespace {

struct Shape {
  std::int64_t rows, columns;
};
constexpr Shape kShapes[] = {{2048, 512}, {2048, 2048}, {700, 800}, {700, 10'000}, {512, 267'744}};
constexpr std::int64_t kElements = 24 << 20;  // a pass covers as many, in as many matrices as that takes
constexpr std::int64_t kRowsAtOnce = 32;

enum Kind { kNearest, kStochastic, kArranged };

struct Seconds {
  double wall = 0.0, threads = 0.0;
};
Seconds now() {
  std::timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
          static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec)};
}
template <typename Body>
void keep_least(Seconds& least, const Body& body) {
  const Seconds start = now();
  body();
  const Seconds end = now();
  least.wall = std::min(least.wall, end.wall - start.wall);
  least.threads = std::min(least.threads, end.threads - start.threads);
}

void pass(benchmark::State& state, Kind kind) {
  const Shape& shape = kShapes[state.range(0)];
  const cpu::KernelTable& kernels = *cpu::isa_entry(Isa::kAuto)->kernels;
  cpu::Workers workers(0);
  const std::int64_t matrix = shape.rows * shape.columns;
  const std::int64_t matrices = std::max<std::int64_t>(1, kElements / matrix), rows = matrices * shape.rows;
  std::vector<float> x(static_cast<std::size_t>(matrices * matrix));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 1001) * 0.002F - 1.0F;
  std::vector<std::uint8_t> codes(x.size() + 256);
  const std::int64_t groups = (shape.columns + kernels.group - 1) / kernels.group;
  std::vector<char> arranged(kind == kArranged ? static_cast<std::size_t>(rows * groups * 4 + 256) : 0);
  std::vector<cpu::Scratch<float>> noise(static_cast<std::size_t>(workers.threads()));
  const PhiloxStream stream = philox_stream(1, 2, RandomPurpose::kGradientRounding, 3);
  const auto run = [&] {
    // Pieces that stay in the cache between noise, codes and arrangement.
    const std::int64_t at_once = std::clamp<std::int64_t>(65'536 / shape.columns, 1, kRowsAtOnce);
    workers.chunks(rows, at_once, [&](int thread, std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * shape.columns, count = (end - begin) * shape.columns;
      for (std::int64_t at = 0; at < count; at += 16'384) {
        cpu::QuantiseRow row;
        row.x = x.data() + first + at;
        row.count = std::min<std::int64_t>(16'384, count - at);
        row.lo = -1.0F;
        row.step = 2.0F / 255.0F;
        row.max_code = 255.0F;
        row.codes8 = codes.data() + first + at;
        if (kind == kStochastic) {
          float* made = noise[static_cast<std::size_t>(thread)].need(16'384);
          kernels.noise({stream.seed,
                         stream.step,
                         stream.purpose_and_tensor,
                         static_cast<std::uint64_t>(first + at),
                         row.count,
                         made,
                         {row.x, nullptr}});
          row.noise = made;
        }
        kernels.quantise(row);
      }
      if (kind != kArranged) return;
      cpu::StageChannels stage;
      stage.row = codes.data() + first;
      stage.pixels = stage.columns = end - begin;
      stage.pixel_step = stage.channels = shape.columns;
      stage.plane = (end - begin) * 4;
      stage.phase_pitch = groups * stage.plane;
      stage.out = arranged.data() + begin * groups * 4;
      kernels.stage_channels(stage);
    });
  };
  constexpr std::int64_t kCopied = 96 << 20;
  static std::vector<char> from(kCopied, char{1}), to(kCopied);
  Seconds copying{1e9, 1e9}, passing{1e9, 1e9};
  run();
  for (auto _ : state) {
    keep_least(copying, [&] {
      workers.chunks(kCopied, 1 << 20, [&](int, std::int64_t begin, std::int64_t end) {
        std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
      });
    });
    keep_least(passing, run);
  }
  const double bytes = static_cast<double>(x.size()) * (kind == kArranged ? 6.0 : 5.0), copied = 2.0 * kCopied;
  state.counters["GB/s"] = 1e-9 * bytes / passing.wall;
  state.counters["share"] = bytes / passing.wall / (copied / copying.wall);
  state.counters["CPU share"] = bytes / passing.threads / (copied / copying.threads);
  state.SetLabel(std::to_string(shape.rows) + "x" + std::to_string(shape.columns));
}

void activations(benchmark::State& state) { pass(state, kNearest); }
void gradients(benchmark::State& state) { pass(state, kStochastic); }
void arranged_activations(benchmark::State& state) { pass(state, kArranged); }
BENCHMARK(activations)->DenseRange(0, 4)->Iterations(8)->Unit(benchmark::kMillisecond);
BENCHMARK(gradients)->DenseRange(0, 4)->Iterations(8)->Unit(benchmark::kMillisecond);
BENCHMARK(arranged_activations)->DenseRange(0, 4)->Iterations(8)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
