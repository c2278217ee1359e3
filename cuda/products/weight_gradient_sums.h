// SPDX-License-Identifier: Apache-2.0
// The integers that a weight gradient is made of, where all blocks add to them, and what becomes of them.
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_weights.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// The integers of a weight gradient, 0 before and after: (o, taps * c / groups + taps), products and sums of gradient
/// codes over the positions where a tap exists, and behind them (taps, c), sums of activation codes. 32 bits where no
/// sum can need more, because a GPU adds twice as many of them at once.
struct WeightGradientSums {
  std::int64_t* words;
  std::int32_t narrow;
  static std::int64_t size(const ConvShape& s) {
    const std::int64_t taps = s.kh * s.kw;
    return s.o * (s.forward_depth() + taps) + taps * s.c;
  }
  BITCYCLE_DEVICE std::int64_t load(std::int64_t at) const {
    return narrow != 0 ? std::int64_t{global_load(reinterpret_cast<const std::uint32_t*>(words) + at)}
                       : global_load(words + at);
  }
  BITCYCLE_DEVICE void clear(std::int64_t at) const {
    if (narrow != 0) {
      global_store(reinterpret_cast<std::uint32_t*>(words) + at, 0U);
    } else {
      global_store(words + at, std::int64_t{0});
    }
  }
};

/// dw from the integers (4.5), a thread an element; they are 0 again afterwards.
struct WeightGradientFinishKernel {
  static constexpr const char* kName = "weight gradient finish";
  static constexpr int kThreads = 128;
  struct Args {
    Geometry s;
    Divisor c, taps, o;  // c, o: of a group
    const Affine *g, *x;
    WeightGradientSums sums;    // as the product leaves them
    const std::int64_t* terms;  // (taps), of one image
    float* dw;
    std::int32_t size;
    std::uint32_t* arrivals;  // of these weights
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WeightGradientScale scale = weight_gradient_scale(*a.g, *a.x);
    const int taps = a.taps.value, regular = taps * a.c.value, columns = regular + taps;
    const std::int64_t x_sums = static_cast<std::int64_t>(a.s.o) * columns;
    for (auto e = static_cast<int>(first_element()); e < a.size; e += static_cast<int>(grid_threads())) {
      int channel = e, tap = divide(channel, a.c);
      const int o = divide(tap, a.taps);
      const std::int64_t row = static_cast<std::int64_t>(o) * columns, product = row + tap * a.c.value + channel;
      const std::int64_t sum = a.sums.load(product);
      a.sums.clear(product);
      global_store(a.dw + e,
                   rescale_weight_gradient(
                       scale, to_binary64(sum), to_binary64(a.sums.load(row + regular + tap)),
                       to_binary64(a.sums.load(x_sums + tap * a.s.c + quotient(o, a.o) * a.c.value + channel)),
                       to_binary64(global_load(a.terms + tap) * a.s.n)));
    }
    if (!last_block(a.arrivals, shared_memory<std::uint32_t>(0))) return;
    for (int i = thread_index(); i < taps * a.s.c; i += kThreads) a.sums.clear(x_sums + i);
    for (int i = thread_index(); i < a.s.o * taps; i += kThreads) {
      a.sums.clear(static_cast<std::int64_t>(i / taps) * columns + regular + i % taps);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
