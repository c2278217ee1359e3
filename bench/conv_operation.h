// SPDX-License-Identifier: Apache-2.0
// One convolution, of 8 x 8 bits unless others are named, with everything that its passes need, for benchmarks; and the
// check that comes before each: the result equals that of the portable kernels.
#pragma once

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "sim/device/kernel_library.h"

namespace bitcycle::bench {

struct ConvOperation {
  /// x in -0.5..0.5 with the given range of its grid, gradients in -0.005..0.005. Nothing has run yet.
  ConvOperation(Isa isa, const ConvShape& s, ErrorWeights error_weights, Range input, int forward_bits = 8,
                int gradient_bits = 8)
      : library(make_cpu_library(isa)), shape(s) {
    const auto forward_width = BitWidth::integer(forward_bits), gradient_width = BitWidth::integer(gradient_bits);
    weights = library->make_weights(s);
    master = values(s.weight_size(), 1, 0.3F);
    library->quantise_weights({master.as<float>(), forward_width, error_weights, 16, {}, true}, *weights);
    x = values(s.input_size(), 2, 1.0F);
    u = values(s.output_size(), 3, 1e-2F);
    codes = Buffer(*library, static_cast<std::size_t>(s.input_size()) * bytes_of(forward_width.container()));
    g = Buffer(*library, static_cast<std::size_t>(s.output_size()) * bytes_of(gradient_width.container()));
    y = Buffer(*library, static_cast<std::size_t>(s.output_size()) * sizeof(float));
    dx = Buffer(*library, static_cast<std::size_t>(s.input_size()) * sizeof(float));
    dw = Buffer(*library, static_cast<std::size_t>(s.weight_size()) * sizeof(float));
    records = Buffer(*library, 256);
    statistics = Buffer(*library, static_cast<std::size_t>(s.o) * sizeof(ChannelStatistics));
    auto* affine = records.as<Affine>();
    affine[0] = affine_of(input, forward_width, {});
    affine[1] = affine_of(Range{-0.005F, 0.005F}, gradient_width, {});
    forward.input.x = x.as<float>();
    forward.codes = {codes.as<void>(), affine, forward_width};
    forward.weights = weights.get();
    forward.shape = s;
    forward.y = y.as<float>();
    forward.statistics = statistics.as<ChannelStatistics>();
    backward.gradient.u = u.as<float>();
    backward.g = {g.as<void>(), affine + 1, gradient_width};
    backward.x = forward.codes;
    backward.weights = weights.get();
    backward.shape = s;
  }
  bool same_results(const ConvOperation& other) const {
    for (const auto member : {&ConvOperation::y, &ConvOperation::dx, &ConvOperation::dw}) {
      const Buffer &mine = this->*member, &others = other.*member;
      if (std::memcmp(mine.as<char>(), others.as<char>(), mine.bytes()) != 0) return false;
    }
    return true;
  }

  std::unique_ptr<KernelLibrary> library;
  ConvShape shape;
  std::unique_ptr<QuantisedWeights> weights;
  Buffer master, x, u, codes, g, y, dx, dw, records, statistics;
  ConvForward forward;
  ConvBackward backward;

 private:
  /// Some thousand drawn numbers, again and again.
  Buffer values(std::int64_t size, std::uint32_t seed, float scale) const {
    Buffer buffer(*library, static_cast<std::size_t>(size) * sizeof(float));
    const auto stream = philox_stream(seed, 0, RandomPurpose::kSyntheticData, 0);
    std::vector<float> some(65521);
    for (std::size_t i = 0; i < some.size(); ++i) some[i] = scale * rounding_noise(philox_word(stream, i));
    for (std::int64_t i = 0; i < size; ++i) buffer.as<float>()[i] = some[static_cast<std::size_t>(i) % some.size()];
    return buffer;
  }
};

/// Runs a pass on `fast` and on an operation made in the same way for the portable kernels. False where they differ:
/// the benchmark then ends with an error.
template <typename Operation, typename Run>
bool equals_portable(benchmark::State& state, Operation& fast, Operation&& plain, const Run& run) {
  run(fast);
  run(plain);
  if (fast.same_results(plain)) return true;
  state.SkipWithError("the result differs from the portable kernels'");
  return false;
}

}  // namespace bitcycle::bench
