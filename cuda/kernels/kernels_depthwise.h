// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions with 3 x 3 taps, codes of up to 16 bits and a multiple of four channels. A thread keeps its
// channels for as long as it runs, with their weights or their sums in registers, and walks over positions;
// neighbouring threads have neighbouring channels, so that loads and stores are wide.
#pragma once

#include <type_traits>

#include "cuda/kernels/kernels_direct.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr int kDepthwiseTaps = 9;

/// Which channels and positions a thread has: those of slice `slice`, every `step`-th position from `first` on.
/// Threads for which nothing is left have first at the end.
struct ChannelWalk {
  int channel;
  std::uint32_t first, step;
  BITCYCLE_DEVICE ChannelWalk(int channels, int width, std::uint32_t positions) {
    const auto slices = static_cast<std::uint32_t>(channels / width);
    step = grid_threads() / slices;
    const std::uint32_t own = first_element() / slices;
    channel = static_cast<int>(first_element() % slices) * width;
    first = own < step ? own : positions;
    if (step == 0) {  // fewer threads than slices: the launch sees to it that there are enough
      step = 1;
      first = positions;
    }
  }
};

/// Image, row and column of a position.
struct MapPosition {
  int n, row, column;
  BITCYCLE_DEVICE MapPosition(std::uint32_t position, int h, int w) {
    const std::uint32_t rows = position / static_cast<std::uint32_t>(w);
    column = static_cast<int>(position % static_cast<std::uint32_t>(w));
    row = static_cast<int>(rows % static_cast<std::uint32_t>(h));
    n = static_cast<int>(rows / static_cast<std::uint32_t>(h));
  }
};

/// An operand of a depthwise product: codes are bytes, or 16-bit words.
struct DepthwiseCodes {
  const void* codes;
  bool words;
};

/// Codes of kCount neighbouring channels, 2 or 4. kWords: they may be words; false: they are bytes.
template <bool kWords, int kCount>
BITCYCLE_DEVICE void load_channels(const DepthwiseCodes& operand, std::int64_t at, int (&codes)[kCount]) {
  if (kWords && operand.words) {
    const auto* pairs = reinterpret_cast<const std::uint32_t*>(static_cast<const std::uint16_t*>(operand.codes) + at);
    for (int j = 0; j < kCount; j += 2) {
      const std::uint32_t two = global_load(pairs + j / 2);
      codes[j] = static_cast<int>(two & 0xFFFFU);
      codes[j + 1] = static_cast<int>(two >> 16);
    }
    return;
  }
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(operand.codes) + at;
  std::uint32_t all = 0;
  if constexpr (kCount == 4) {
    all = global_load(reinterpret_cast<const std::uint32_t*>(bytes));
  } else {
    all = global_load(reinterpret_cast<const std::uint16_t*>(bytes));
  }
  for (int j = 0; j < kCount; ++j) codes[j] = static_cast<int>((all >> (8 * j)) & 0xFFU);
}

/// What nine products of two codes fit.
template <bool kWords>
using DepthwiseSum = std::conditional_t<kWords, std::int64_t, int>;

/// y, and its statistics where they are asked for: a thread's sums stay in registers to the end.
template <bool kWords>
struct DepthwiseForwardKernel {
  static constexpr const char* kName = "depthwise forward";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = 16;
  struct Args {
    Geometry s;
    DepthwiseCodes codes;
    const Affine* x_affine;
    const std::uint32_t* weights;
    const Affine* weight_affine;
    float* y;
    std::uint32_t positions;
    ChannelStatistics* statistics;  // null: not wanted
    std::int32_t *lo, *hi;
    std::uint32_t* arrivals;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Geometry& s = a.s;
    const ChannelWalk walk(s.c, 4, a.positions);
    const int c = walk.channel;
    const Affine x = *a.x_affine;
    int weights[4][kDepthwiseTaps];
    Affine w[4];
    ProductScale scale[4];
    float to_grid[4] = {};
    std::int64_t s1[4] = {}, s2[4] = {};
    std::int32_t lo[4], hi[4];
    for (int j = 0; j < 4; ++j) {
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        weights[j][t] = static_cast<int>(global_load(a.weights + (c + j) * kDepthwiseTaps + t));
      }
      w[j] = a.weight_affine[c + j];
      scale[j] = product_scale(x, w[j]);
      if (a.statistics != nullptr) to_grid[j] = power_of_two(a.statistics[c + j].exponent);
      lo[j] = INT32_MAX;
      hi[j] = INT32_MIN;
    }
    for (std::uint32_t p = walk.first; p < a.positions; p += walk.step) {
      const MapPosition at(p, s.out_h, s.out_w);
      DepthwiseSum<kWords> product[4] = {};
      int streamed[4] = {}, sum[4] = {}, terms = 0;
      BITCYCLE_UNROLL
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        const int h = at.row * s.stride - s.padding + t / 3, column = at.column * s.stride - s.padding + t % 3;
        if (h < 0 || h >= s.h || column < 0 || column >= s.w) continue;
        int four[4];
        load_channels<kWords>(a.codes, input_index(s, at.n, h, column, c), four);
        ++terms;
        for (int j = 0; j < 4; ++j) {
          product[j] += static_cast<DepthwiseSum<kWords>>(four[j]) * weights[j][t];
          streamed[j] += four[j];
          sum[j] += weights[j][t];
        }
      }
      Quad y{};
      for (int j = 0; j < 4; ++j) {
        const double offset = product_offset(x, w[j], static_cast<double>(sum[j]), static_cast<double>(terms));
        y.v[j] =
            rescale(scale[j].a, static_cast<double>(product[j]), scale[j].b, static_cast<double>(streamed[j]), offset);
        if (a.statistics == nullptr) continue;
        const std::int64_t q = on_grid(y.v[j], to_grid[j]);
        add_wrapping(s1[j], q);
        add_wrapping(s2[j], static_cast<std::int64_t>(static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q)));
        const std::int32_t key = ordered_key(y.v[j]);
        lo[j] = key < lo[j] ? key : lo[j];
        hi[j] = key > hi[j] ? key : hi[j];
      }
      global_store(reinterpret_cast<Quad*>(a.y + static_cast<std::int64_t>(p) * s.c + c), y);
    }
    if (a.statistics == nullptr) return;
    if (walk.first < a.positions) {
      for (int j = 0; j < 4; ++j) {
        ChannelStatistics& to = a.statistics[c + j];
        atomic_add(&to.s1, s1[j]);
        atomic_add(reinterpret_cast<std::int64_t*>(&to.s2), s2[j]);
        atomic_min(a.lo + c + j, lo[j]);
        atomic_max(a.hi + c + j, hi[j]);
      }
    }
    if (!last_block(a.arrivals, shared_memory<std::uint32_t>(0))) return;
    for (int i = thread_index(); i < s.c; i += kThreads) {
      const Range extremes = range_of_keys({atomic_load(a.lo + i), atomic_load(a.hi + i)});
      a.statistics[i].lo = extremes.lo;
      a.statistics[i].hi = extremes.hi;
    }
  }
};

template <bool kWords>
struct DepthwiseErrorKernel {
  static constexpr const char* kName = "depthwise error";
  static constexpr int kThreads = 256;
  struct Args {
    Geometry s;
    DepthwiseCodes codes;
    const Affine* g_affine;
    const std::uint32_t* weights;  // error codes
    const Affine* error_affine;
    bool shared_grid;
    float* dx;
    float* dx_bound;  // may be null; +0 before
    std::uint32_t positions;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Geometry& s = a.s;
    const ChannelWalk walk(s.c, 4, a.positions);
    const int c = walk.channel;
    const Affine g = *a.g_affine;
    int weights[4][kDepthwiseTaps];
    for (int j = 0; j < 4; ++j) {
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        weights[j][t] = static_cast<std::int32_t>(global_load(a.weights + (c + j) * kDepthwiseTaps + t));
      }
    }
    std::int32_t largest = 0;
    for (std::uint32_t p = walk.first; p < a.positions; p += walk.step) {
      const MapPosition at(p, s.h, s.w);
      std::int64_t product[4] = {};
      int streamed[4] = {}, sum[4] = {}, terms = 0;
      BITCYCLE_UNROLL
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        const int y = at.row + s.padding - t / 3, x = at.column + s.padding - t % 3;
        if (y < 0 || x < 0 || y % s.stride != 0 || x % s.stride != 0) continue;
        if (y / s.stride >= s.out_h || x / s.stride >= s.out_w) continue;
        int four[4];
        load_channels<kWords>(a.codes, output_index(s, at.n, y / s.stride, x / s.stride, c), four);
        ++terms;
        for (int j = 0; j < 4; ++j) {
          product[j] += static_cast<std::int64_t>(four[j]) * weights[j][t];
          streamed[j] += four[j];
          sum[j] += weights[j][t];
        }
      }
      Quad dx{};
      for (int j = 0; j < 4; ++j) {
        if (a.shared_grid) {
          const double grid = a.error_affine->step;
          dx.v[j] = rescale_shared(shared_scale(g, grid), to_binary64(product[j]),
                                   shared_offset(g, grid, static_cast<double>(sum[j])));
        } else {
          const Affine e = a.error_affine[c + j];
          const ProductScale scale = product_scale(g, e);
          dx.v[j] = rescale(scale.a, to_binary64(product[j]), scale.b, static_cast<double>(streamed[j]),
                            product_offset(g, e, static_cast<double>(sum[j]), static_cast<double>(terms)));
        }
        const std::int32_t key = magnitude_key(dx.v[j]);
        largest = key > largest ? key : largest;
      }
      global_store(reinterpret_cast<Quad*>(a.dx + static_cast<std::int64_t>(p) * s.c + c), dx);
    }
    if (a.dx_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.dx_bound));
  }
};

/// The integers of the weight gradient, added to sums (3, taps, c): products, codes of g where a tap exists, and of x.
/// The last block makes dw of them and leaves 0.
template <bool kWords>
struct DepthwiseGradientKernel {
  static constexpr const char* kName = "depthwise weight gradient";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = 16;
  static constexpr int kMostPositions = 16384;  // of a thread, so that its sums stay below 2^31
  struct Args {
    Geometry s;
    DepthwiseCodes x, g;
    const Affine *x_affine, *g_affine;
    std::int64_t* sums;
    const std::int64_t* terms;  // (taps), of one image
    float* dw;
    std::uint32_t positions;
    std::uint32_t* arrivals;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Geometry& s = a.s;
    const ChannelWalk walk(s.c, 2, a.positions);
    const int c = walk.channel;
    DepthwiseSum<kWords> products[kDepthwiseTaps][2] = {};
    int sums[2][kDepthwiseTaps][2] = {};  // of codes: g, x
    const auto flush = [&] {
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        for (int j = 0; j < 2; ++j) {
          const auto add = [&](int i, auto& sum) {
            atomic_add(a.sums + (i * kDepthwiseTaps + t) * s.c + c + j, static_cast<std::int64_t>(sum));
            sum = 0;
          };
          add(0, products[t][j]);
          add(1, sums[0][t][j]);
          add(2, sums[1][t][j]);
        }
      }
    };
    int count = 0;
    for (std::uint32_t p = walk.first; p < a.positions; p += walk.step) {
      const MapPosition at(p, s.out_h, s.out_w);
      int g[2];
      load_channels<kWords>(a.g, static_cast<std::int64_t>(p) * s.c + c, g);
      BITCYCLE_UNROLL
      for (int t = 0; t < kDepthwiseTaps; ++t) {
        const int h = at.row * s.stride - s.padding + t / 3, column = at.column * s.stride - s.padding + t % 3;
        if (h < 0 || h >= s.h || column < 0 || column >= s.w) continue;
        int x[2];
        load_channels<kWords>(a.x, input_index(s, at.n, h, column, c), x);
        for (int j = 0; j < 2; ++j) {
          products[t][j] += static_cast<DepthwiseSum<kWords>>(g[j]) * x[j];
          sums[0][t][j] += g[j];
          sums[1][t][j] += x[j];
        }
      }
      if (++count < kMostPositions) continue;
      count = 0;
      flush();
    }
    if (count > 0) flush();
    if (!last_block(a.arrivals, shared_memory<std::uint32_t>(0))) return;
    const WeightGradientScale scale = weight_gradient_scale(*a.g_affine, *a.x_affine);
    for (int e = thread_index(); e < s.c * kDepthwiseTaps; e += kThreads) {
      const int channel = e / kDepthwiseTaps, tap = e % kDepthwiseTaps;
      std::int64_t found[3];
      for (int i = 0; i < 3; ++i) {
        std::int64_t* const from = a.sums + (i * kDepthwiseTaps + tap) * s.c + channel;
        found[i] = atomic_load(from);
        global_store(from, std::int64_t{0});
      }
      global_store(a.dw + e,
                   rescale_weight_gradient(scale, to_binary64(found[0]), to_binary64(found[1]), to_binary64(found[2]),
                                           to_binary64(global_load(a.terms + tap) * s.n)));
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
