// SPDX-License-Identifier: Apache-2.0
// Passes at 8 x 8 bits, all threads, of the convolutions of the three ResNet stages (batch 128) and of a matrix product
// (one pixel an image): `accumulators` are the products alone, from staged codes to int32 sums; `pass` and `matrix` are
// the whole operation, quantiser, staging, rescaling and statistics included; `peak` is the machine's measured vpdpbusd
// rate in the same run. Every pass first checks that its result equals a run on the portable kernels.
#include <benchmark/benchmark.h>

#include <thread>
#include <vector>

#include "bench/conv_operation.h"
#include "sim/cpu/packed_product.h"
#include "sim/cpu/product_image.h"
#include "sim/cpu/weight_gradient.h"
#include "sim/cpu/workers.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bitcycle {
namespace {

constexpr std::int64_t kBatch = 128;

ConvShape stage(std::int64_t number) {
  ConvShape s;
  s.n = kBatch;
  s.h = s.w = 64 >> number;
  s.c = s.o = 8 << number;
  s.kh = s.kw = 3;
  s.padding = 1;
  return s;
}

#if defined(__x86_64__)
/// 64 products a vpdpbusd, sixteen independent sums in registers.
__attribute__((target("avx512f,avx512vnni"))) std::int64_t dot_products(std::int64_t rounds) {
  __m512i acc[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) acc[i] = _mm512_set1_epi32(i);
  const __m512i a = _mm512_set1_epi32(0x01010101), b = _mm512_set1_epi32(0x01020304);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) asm volatile("" : "+v"(acc[i]));
  }
  __m512i sum = acc[0];
#pragma GCC unroll 16
  for (int i = 1; i < 16; ++i) sum = _mm512_add_epi32(sum, acc[i]);
  return _mm512_reduce_add_epi32(sum);
}

void peak(benchmark::State& state) {
  if (!isa_available(Isa::kAvx512Vnni)) {
    state.SkipWithError("this machine has no AVX-512 VNNI");
    return;
  }
  constexpr std::int64_t kRounds = 2000000;
  const int threads = static_cast<int>(std::thread::hardware_concurrency());
  for (auto _ : state) {
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) running.emplace_back([] { benchmark::DoNotOptimize(dot_products(kRounds)); });
    for (auto& thread : running) thread.join();
  }
  state.counters["GMAC/s"] = benchmark::Counter(1e-9 * 64.0 * 16.0 * static_cast<double>(kRounds) * threads,
                                                benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(peak)->UseRealTime()->MinTime(1.0);
#endif

struct Operation : bench::ConvOperation {
  Operation(Isa isa, const ConvShape& s, ErrorWeights error_weights)
      : ConvOperation(isa, s, error_weights, {-0.5F, 0.5F}) {
    backward.stochastic = false;
    library->conv_forward(forward);
  }
};

enum Kind { kForward, kErrorRequantised, kErrorShared, kWeightGradient };

void run(Operation& operation, Kind kind) {
  if (kind == kForward) {
    operation.library->conv_forward(operation.forward);
  } else {
    operation.backward.dx = kind == kWeightGradient ? nullptr : operation.dx.as<float>();
    operation.backward.dw = kind == kWeightGradient ? operation.dw.as<float>() : nullptr;
    operation.library->conv_backward(operation.backward);
  }
}

void pass_of(benchmark::State& state, Kind kind, const ConvShape& s) {
  const auto error_weights = kind == kErrorShared ? ErrorWeights::kShared : ErrorWeights::kRequantised;
  Operation fast(Isa::kAuto, s, error_weights);
  if (!bench::equals_portable(state, fast, Operation(Isa::kPortable, s, error_weights),
                              [&](Operation& operation) { run(operation, kind); })) {
    return;
  }
  for (auto _ : state) run(fast, kind);
  state.counters["GMAC/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(s.macs()), benchmark::Counter::kIsIterationInvariantRate);
}
void pass(benchmark::State& state, Kind kind) { pass_of(state, kind, stage(state.range(0))); }
/// Matrix products M x K times K x N: a linear layer, one pixel an image.
void matrix(benchmark::State& state, Kind kind) {
  pass_of(state, kind, matmul_shape(state.range(0), state.range(2), state.range(1)));
}
BENCHMARK_CAPTURE(matrix, forward, kForward)->Args({2048, 512, 2048})->UseRealTime();
BENCHMARK_CAPTURE(matrix, error_requantised, kErrorRequantised)->Args({2048, 512, 2048})->UseRealTime();
BENCHMARK_CAPTURE(matrix, weight_gradient, kWeightGradient)->Args({2048, 512, 2048})->UseRealTime();
BENCHMARK_CAPTURE(pass, forward, kForward)->DenseRange(1, 3)->UseRealTime();
BENCHMARK_CAPTURE(pass, error_requantised, kErrorRequantised)->DenseRange(1, 3)->UseRealTime();
BENCHMARK_CAPTURE(pass, error_shared, kErrorShared)->DenseRange(1, 3)->UseRealTime();
BENCHMARK_CAPTURE(pass, weight_gradient, kWeightGradient)->DenseRange(1, 3)->UseRealTime();

#if defined(__x86_64__)
/// Codes of a batch, staged once; each iteration makes all sums of one pass.
void product_accumulators(benchmark::State& state, bool error_pass) {
  if (!isa_available(Isa::kAvx512Vnni)) {
    state.SkipWithError("this machine has no AVX-512 VNNI");
    return;
  }
  const cpu::KernelTable& kernels = cpu::kAvx512VnniKernels;
  const ConvShape s = stage(state.range(0));
  cpu::PackedProduct product(s, error_pass, kernels);
  std::vector<std::int32_t> weights(static_cast<std::size_t>(s.weight_size()));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<std::int32_t>(31 * i % 256);
  cpu::Workers workers(0);
  product.pack(kernels, workers, 1, 0, weights.data(), s.kh * s.kw * s.c, s.c, 1);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(product.in_h * product.in_w * product.in_c));
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(17 * i);
  std::vector<cpu::ProductScratch> images(static_cast<std::size_t>(s.n));
  for (auto& image : images) cpu::stage_image(kernels, product, cpu::ByteCodes{{codes.data(), nullptr}, 1}, 0, image);
  std::vector<cpu::Scratch<std::int32_t>> sums(static_cast<std::size_t>(workers.threads()));
  for (auto _ : state) {
    workers.each(s.n, [&](int thread, std::int64_t n) {
      for (const auto& phase : product.phases) {
        cpu::RowProduct row = cpu::row_product_of(product, phase);
        row.sums = sums[static_cast<std::size_t>(thread)].need(phase.pixels * product.lanes);
        for (std::int64_t i = 0; i < phase.rows; ++i) {
          row.x = cpu::row_origin(product, phase, images[static_cast<std::size_t>(n)], i);
          kernels.row_product(row);
        }
      }
    });
  }
  state.counters["GMAC/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(s.macs()), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(product_accumulators, forward, false)->DenseRange(1, 3)->UseRealTime();
BENCHMARK_CAPTURE(product_accumulators, error_requantised, true)->DenseRange(1, 3)->UseRealTime();

void gradient_accumulators(benchmark::State& state) {
  if (!isa_available(Isa::kAvx512Vnni)) {
    state.SkipWithError("this machine has no AVX-512 VNNI");
    return;
  }
  const cpu::KernelTable& kernels = cpu::kAvx512VnniKernels;
  const ConvShape s = stage(state.range(0));
  const cpu::WeightGradient gradient(s, kernels);
  const std::int64_t images = gradient.images_at_once();
  std::vector<std::uint8_t> x(static_cast<std::size_t>(images * s.h * s.w * s.c)), g(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<std::uint8_t>(17 * i);
    g[i] = static_cast<std::uint8_t>(29 * i);
  }
  cpu::Workers workers(0);
  const std::int64_t chunks = s.n / images;
  std::vector<cpu::WeightGradient::Partial> staged(static_cast<std::size_t>(chunks));
  for (auto& partial : staged) {
    gradient.clear(1, 1, partial);
    gradient.stage(kernels, {{x.data(), nullptr}, 1}, {{g.data(), nullptr}, 1}, images, 0, partial);
  }
  std::vector<cpu::Scratch<std::int32_t>> sums(static_cast<std::size_t>(workers.threads()));
  for (auto& sum : sums) sum.need(gradient.sums_size());
  for (auto _ : state) {
    workers.each(chunks, [&](int thread, std::int64_t chunk) {
      gradient.accumulate(kernels, images, staged[static_cast<std::size_t>(chunk)],
                          sums[static_cast<std::size_t>(thread)].data());
    });
  }
  state.counters["GMAC/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(s.macs()), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(gradient_accumulators)->DenseRange(1, 3)->UseRealTime();
#endif

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
