// SPDX-License-Identifier: Apache-2.0
// Rows whose sums have the order of docs/numerics.md, 6.12, which is a warp's: element i belongs to lane i mod 32, and
// lanes are joined l with l + 16, 8, 4, 2, 1. Layer normalisation (6.13) and the softmax of pairs (6.14).
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/elementary.h"
#include "sim/ops/layer_norm.h"
#include "sim/ops/pair_shape.h"
#include "sim/ops/pair_softmax.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Lanes' sums, joined: the same in every lane, for a + b is b + a.
template <typename Float>
BITCYCLE_DEVICE Float joined(Float of_lane) {
  for (int m = 16; m > 0; m /= 2) of_lane = of_lane + shuffle_xor(kAllLanes, of_lane, m);
  return of_lane;
}

/// Rows go to warps.
struct WarpRows {
  std::int64_t first, step;
  BITCYCLE_DEVICE WarpRows()
      : first(std::int64_t{block_index()} * (block_threads() / 32) + thread_index() / 32),
        step(std::int64_t{block_count()} * (block_threads() / 32)) {}
};

struct LayerNormKernel {
  static constexpr const char* kName = "layer norm";
  static constexpr int kThreads = 256;
  struct Args {
    const float *x, *gamma, *beta;
    double eps;
    RowStatistics* statistics;
    float* y;
    std::int64_t rows;
    std::int32_t c;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WarpRows rows;
    const auto c = static_cast<double>(a.c);
    for (std::int64_t n = rows.first; n < a.rows; n += rows.step) {
      const float* x = a.x + n * a.c;
      double sum = 0.0;
      for (int i = lane_index(); i < a.c; i += 32) sum = sum + static_cast<double>(global_load(x + i));
      const double mean = joined(sum) / c;
      double squares = 0.0;
      for (int i = lane_index(); i < a.c; i += 32) {
        const double t = static_cast<double>(global_load(x + i)) - mean;
        squares = fma(t, t, squares);
      }
      const RowStatistics of = row_statistics(mean, joined(squares) / c, a.eps);
      if (lane_index() == 0) a.statistics[n] = of;
      for (int i = lane_index(); i < a.c; i += 32) {
        global_store(a.y + n * a.c + i,
                     fmaf(layer_norm_value(global_load(x + i), of), global_load(a.gamma + i), global_load(a.beta + i)));
      }
    }
  }
};

struct LayerNormGradientKernel {
  static constexpr const char* kName = "layer norm gradient";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    const RowStatistics* statistics;
    const float *gamma, *dy;
    float* dx;
    std::int64_t rows;
    std::int32_t c;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WarpRows rows;
    const auto c = static_cast<double>(a.c);
    for (std::int64_t n = rows.first; n < a.rows; n += rows.step) {
      const float *x = a.x + n * a.c, *dy = a.dy + n * a.c;
      const RowStatistics of = a.statistics[n];
      double sum = 0.0, with_value = 0.0;
      for (int i = lane_index(); i < a.c; i += 32) {
        const float u = global_load(dy + i) * global_load(a.gamma + i);
        sum = sum + static_cast<double>(u);
        with_value =
            fma(static_cast<double>(u), static_cast<double>(layer_norm_value(global_load(x + i), of)), with_value);
      }
      const auto s = static_cast<float>(joined(sum) / c), b = static_cast<float>(joined(with_value) / c);
      for (int i = lane_index(); i < a.c; i += 32) {
        const float u = global_load(dy + i) * global_load(a.gamma + i);
        global_store(a.dx + n * a.c + i,
                     of.inverse_deviation * fmaf(-layer_norm_value(global_load(x + i), of), b, u - s));
      }
    }
  }
};

struct PairSoftmaxKernel {
  static constexpr const char* kName = "pair softmax";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    ops::PairShape shape;
    float scale;
    float* y;
    std::int64_t rows;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WarpRows rows;
    const auto n = static_cast<int>(a.shape.n);
    for (std::int64_t row = rows.first; row < a.rows; row += rows.step) {
      const auto count = static_cast<int>(a.shape.columns_of(row % a.shape.m));
      const float* x = a.x + row * n;
      float* y = a.y + row * n;
      // The first one decides where it is no number, as nothing compares with it.
      const float first = global_load(x) * a.scale;
      float largest = first;
      for (int j = lane_index(); j < count; j += 32) {
        const float scaled = global_load(x + j) * a.scale;
        largest = scaled > largest ? scaled : largest;
      }
      for (int m = 16; m > 0; m /= 2) {
        const float other = shuffle_xor(kAllLanes, largest, m);
        largest = other > largest ? other : largest;
      }
      float sum = 0.0F;
      for (int j = lane_index(); j < count; j += 32) {
        const float e = exp_f32(global_load(x + j) * a.scale - largest);
        global_store(y + j, e);
        sum = sum + e;
      }
      sum = joined(sum);
      for (int j = lane_index(); j < n; j += 32) global_store(y + j, j < count ? global_load(y + j) / sum : 0.0F);
    }
  }
};

struct PairSoftmaxGradientKernel {
  static constexpr const char* kName = "pair softmax gradient";
  static constexpr int kThreads = 256;
  struct Args {
    const float *y, *dy;
    ops::PairShape shape;
    float scale;
    float* dx;
    std::int64_t rows;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WarpRows rows;
    const auto n = static_cast<int>(a.shape.n);
    for (std::int64_t row = rows.first; row < a.rows; row += rows.step) {
      const auto count = static_cast<int>(a.shape.columns_of(row % a.shape.m));
      const float *y = a.y + row * n, *dy = a.dy + row * n;
      float sum = 0.0F;
      for (int j = lane_index(); j < count; j += 32) sum = fmaf(global_load(dy + j), global_load(y + j), sum);
      const float d = joined(sum);
      for (int j = lane_index(); j < n; j += 32) {
        global_store(a.dx + row * n + j,
                     j < count ? softmax_error(global_load(y + j), global_load(dy + j), d, a.scale) : 0.0F);
      }
    }
  }
};

/// Range of the pairs that exist.
struct PairRangeKernel {
  static constexpr const char* kName = "pair range";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    ops::PairShape shape;
    bool from_zero;
    Range* range;
    std::int64_t rows;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WarpRows rows;
    KeyRange keys;
    if (a.from_zero) include(keys, 0.0F);
    for (std::int64_t row = rows.first; row < a.rows; row += rows.step) {
      const auto count = static_cast<int>(a.shape.columns_of(row % a.shape.m));
      for (int j = lane_index(); j < count; j += 32) include(keys, global_load(a.x + row * a.shape.n + j));
    }
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *a.range = range;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
