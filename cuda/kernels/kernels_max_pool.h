// SPDX-License-Identifier: Apache-2.0
// Max pooling (docs/numerics.md, 6.7): a thread for each element of the result, or of the gradient, which gathers from
// the windows that it lies in; four channels of it, where they are that many.
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_gradient_sum.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A map's extents. Elements and positions are below 2^31.
struct PoolExtents {
  std::int32_t h = 0, w = 0, channels = 0, out_h = 0, out_w = 0, kernel = 1, stride = 1, padding = 0;
  Divisor by_slices, by_columns, by_rows, by_stride;  // of the elements that threads go through, Lanes at a time
};

template <int Lanes>
struct PoolLanes {
  float v[Lanes];
};
/// Lanes neighbouring channels: one, or four in one access where channels are a multiple of four.
template <int Lanes>
BITCYCLE_DEVICE PoolLanes<Lanes> load_lanes(const float* p, std::int32_t at) {
  PoolLanes<Lanes> lanes;
  if constexpr (Lanes == 4) {
    const Quad quad = global_load(reinterpret_cast<const Quad*>(p + at));
    for (int j = 0; j < 4; ++j) lanes.v[j] = quad.v[j];
  } else {
    lanes.v[0] = global_load(p + at);
  }
  return lanes;
}
template <int Lanes>
BITCYCLE_DEVICE void store_lanes(float* p, std::int32_t at, const PoolLanes<Lanes>& lanes) {
  if constexpr (Lanes == 4) {
    global_store(reinterpret_cast<Quad*>(p + at), Quad{{lanes.v[0], lanes.v[1], lanes.v[2], lanes.v[3]}});
  } else {
    global_store(p + at, lanes.v[0]);
  }
}

/// Of each lane the first largest element of a window.
template <int Lanes>
struct PoolMaximum {
  std::int32_t at[Lanes] = {};  // of the lane's pixel, its first channel
  float value[Lanes] = {};
};

/// Window (oh, ow), channels from c on. Its top left element lies at row oh * stride - padding.
template <int Lanes>
BITCYCLE_DEVICE PoolMaximum<Lanes> window_maximum(const PoolExtents& over, const float* x, int n, int oh, int ow,
                                                  int c) {
  const int row = oh * over.stride - over.padding, column = ow * over.stride - over.padding;
  PoolMaximum<Lanes> best;
  bool found = false;
  for (int i = row < 0 ? 0 : row; i < row + over.kernel && i < over.h; ++i) {
    for (int j = column < 0 ? 0 : column; j < column + over.kernel && j < over.w; ++j) {
      const std::int32_t at = ((n * over.h + i) * over.w + j) * over.channels + c;
      const PoolLanes<Lanes> value = load_lanes<Lanes>(x, at);
      for (int lane = 0; lane < Lanes; ++lane) {
        if (found && !(value.v[lane] > best.value[lane])) continue;
        best.at[lane] = at;
        best.value[lane] = value.v[lane];
      }
      found = true;
    }
  }
  return best;
}

/// Image, row, column and first channel of Lanes elements of a map.
struct PoolElement {
  std::int32_t n, row, column, c;
  BITCYCLE_DEVICE PoolElement(const PoolExtents& over, std::int32_t item, int lanes) {
    std::int32_t slice = item;
    column = divide(slice, over.by_slices);
    row = divide(column, over.by_columns);
    n = divide(row, over.by_rows);
    c = slice * lanes;
  }
};

template <int Lanes>
struct MaxPoolKernel {
  static constexpr const char* kName = "max pool";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  struct Args {
    PoolExtents over;
    const float* x;
    float* z;
    Range* range;        // null: not wanted
    std::uint32_t size;  // of z
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    KeyRange keys;
    for (std::uint32_t i = first_element(); i < a.size / Lanes; i += grid_threads()) {
      const auto item = static_cast<std::int32_t>(i);
      const PoolElement of(a.over, item, Lanes);
      const PoolMaximum<Lanes> maximum = window_maximum<Lanes>(a.over, a.x, of.n, of.row, of.column, of.c);
      PoolLanes<Lanes> z;
      for (int lane = 0; lane < Lanes; ++lane) {
        z.v[lane] = maximum.value[lane];
        include(keys, z.v[lane]);
      }
      store_lanes<Lanes>(a.z, item * Lanes, z);
    }
    if (a.range == nullptr) return;
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *a.range = range;
  }
};

/// dx, then the other contribution and the mask; bounds of both, which a prepare kernel has cleared.
template <int Lanes>
struct MaxPoolBackwardKernel {
  static constexpr const char* kName = "max pool backward";
  static constexpr int kThreads = 256;
  struct Args {
    PoolExtents over;
    const float* x;
    const float* dz;
    float* dx;        // null: not wanted
    float* dx_bound;  // null: not wanted
    bool sums_gradients;
    GradientSum gradient_sum;
    std::uint32_t size;  // of x
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const PoolExtents& over = a.over;
    std::int32_t largest = 0, largest_u = 0;
    for (std::uint32_t i = first_element(); i < a.size / Lanes; i += grid_threads()) {
      const auto item = static_cast<std::int32_t>(i);
      const PoolElement of(over, item, Lanes);
      const std::int32_t e = item * Lanes;
      // Windows o with o * stride - padding <= position < o * stride - padding + kernel.
      const auto first = [&](int position) {
        const int from = position + over.padding - over.kernel + 1;
        return from <= 0 ? 0 : quotient(from + over.stride - 1, over.by_stride);
      };
      const auto end = [&](int position, int windows) {
        const int last = quotient(position + over.padding, over.by_stride) + 1;
        return last < windows ? last : windows;
      };
      PoolLanes<Lanes> value{};
      for (int oh = first(of.row); oh < end(of.row, over.out_h); ++oh) {
        for (int ow = first(of.column); ow < end(of.column, over.out_w); ++ow) {
          const PoolMaximum<Lanes> maximum = window_maximum<Lanes>(over, a.x, of.n, oh, ow, of.c);
          const PoolLanes<Lanes> dz =
              load_lanes<Lanes>(a.dz, ((of.n * over.out_h + oh) * over.out_w + ow) * over.channels + of.c);
          for (int lane = 0; lane < Lanes; ++lane) {
            if (maximum.at[lane] == e) value.v[lane] = value.v[lane] + dz.v[lane];
          }
        }
      }
      if (a.dx != nullptr) store_lanes<Lanes>(a.dx, e, value);
      for (int lane = 0; lane < Lanes; ++lane) {
        const std::int32_t key = magnitude_key(value.v[lane]);
        largest = key > largest ? key : largest;
      }
      if (!a.sums_gradients) continue;
      PoolLanes<Lanes> other{};
      if (a.gradient_sum.other != nullptr) other = load_lanes<Lanes>(a.gradient_sum.other, e);
      for (int lane = 0; lane < Lanes; ++lane) {
        if (a.gradient_sum.other != nullptr) value.v[lane] = value.v[lane] + other.v[lane];
        const bool passes =
            passes_mask(a.gradient_sum, static_cast<std::uint32_t>(e + lane), static_cast<std::uint32_t>(of.c + lane));
        value.v[lane] = passes ? value.v[lane] : 0.0F;
        const std::int32_t key_u = magnitude_key(value.v[lane]);
        largest_u = key_u > largest_u ? key_u : largest_u;
      }
      store_lanes<Lanes>(a.gradient_sum.u, e, value);
    }
    if (a.dx_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.dx_bound));
    if (a.sums_gradients && a.gradient_sum.u_bound != nullptr) {
      merge_magnitude(largest_u, reinterpret_cast<std::int32_t*>(a.gradient_sum.u_bound));
    }
  }
};

/// Clears bounds; the grids of a norm's sums, where their bound is known. One block.
struct NormSumsPrepareKernel {
  static constexpr const char* kName = "norm sums prepare";
  static constexpr int kThreads = 256;
  struct Args {
    GradientSum gradient_sum;
    const float* bound;  // null: there are no norms
    float* cleared[2];   // null: nothing
    std::int64_t channels;
    std::uint64_t count;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (float* bound : a.cleared) {
      if (thread_index() == 0 && bound != nullptr) *bound = 0.0F;
    }
    if (a.bound == nullptr) return;
    prepare_gradient_sum(a.gradient_sum, static_cast<double>(*a.bound), a.channels, a.count);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
