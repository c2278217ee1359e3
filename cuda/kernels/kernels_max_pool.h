// SPDX-License-Identifier: Apache-2.0
// Max pooling (docs/numerics.md, 6.7): a thread for each element of the result, or of the gradient, which gathers from
// the windows that it lies in.
#pragma once

#include "cuda/kernels/kernels_gradient_sum.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

struct PoolMaximum {
  std::uint32_t at = 0;  // element of x
  float value = 0.0F;
};

/// The first largest element of window (oh, ow), channel c. Its top left element lies at row oh * stride - padding.
BITCYCLE_DEVICE PoolMaximum window_maximum(const PoolGeometry& over, const float* x, int n, int oh, int ow, int c) {
  const int h = static_cast<int>(over.h), w = static_cast<int>(over.w), kernel = static_cast<int>(over.kernel);
  const int row = oh * static_cast<int>(over.stride) - static_cast<int>(over.padding);
  const int column = ow * static_cast<int>(over.stride) - static_cast<int>(over.padding);
  PoolMaximum best;
  bool found = false;
  for (int i = row < 0 ? 0 : row; i < row + kernel && i < h; ++i) {
    for (int j = column < 0 ? 0 : column; j < column + kernel && j < w; ++j) {
      const auto at = static_cast<std::uint32_t>(((n * h + i) * w + j) * static_cast<int>(over.channels) + c);
      const float value = global_load(x + at);
      if (!found || value > best.value) best = {at, value};
      found = true;
    }
  }
  return best;
}

/// Image, row, column and channel of element e of a map.
struct PoolElement {
  int n, row, column, c;
  BITCYCLE_DEVICE PoolElement(std::uint32_t e, std::int64_t h, std::int64_t w, std::int64_t channels) {
    const auto pixel = e / static_cast<std::uint32_t>(channels);
    c = static_cast<int>(e % static_cast<std::uint32_t>(channels));
    column = static_cast<int>(pixel % static_cast<std::uint32_t>(w));
    const auto rows = pixel / static_cast<std::uint32_t>(w);
    row = static_cast<int>(rows % static_cast<std::uint32_t>(h));
    n = static_cast<int>(rows / static_cast<std::uint32_t>(h));
  }
};

struct MaxPoolKernel {
  static constexpr const char* kName = "max pool";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  struct Args {
    MaxPool pool;
    std::uint32_t size;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const PoolGeometry& over = a.pool.over;
    KeyRange keys;
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const PoolElement of(e, over.out_h, over.out_w, over.channels);
      const float z = window_maximum(over, a.pool.x, of.n, of.row, of.column, of.c).value;
      global_store(a.pool.z + e, z);
      include(keys, z);
    }
    if (a.pool.range == nullptr) return;
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *a.pool.range = range;
  }
};

/// dx, then the other contribution and the mask; bounds of both, which a prepare kernel has cleared.
struct MaxPoolBackwardKernel {
  static constexpr const char* kName = "max pool backward";
  static constexpr int kThreads = 256;
  struct Args {
    PoolGeometry over;
    const float* x;
    const float* dz;
    float* dx;        // null: not wanted
    float* dx_bound;  // null: not wanted
    bool sums_gradients;
    GradientSum gradient_sum;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const PoolGeometry& over = a.over;
    const int kernel = static_cast<int>(over.kernel), stride = static_cast<int>(over.stride);
    const int padding = static_cast<int>(over.padding);
    std::int32_t largest = 0, largest_u = 0;
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const PoolElement of(e, over.h, over.w, over.channels);
      // Windows o with o * stride - padding <= position < o * stride - padding + kernel.
      const auto first = [&](int position) {
        const int from = position + padding - kernel + 1;
        return from <= 0 ? 0 : (from + stride - 1) / stride;
      };
      const auto end = [&](int position, std::int64_t windows) {
        const int last = (position + padding) / stride + 1;
        return last < static_cast<int>(windows) ? last : static_cast<int>(windows);
      };
      float value = 0.0F;
      for (int oh = first(of.row); oh < end(of.row, over.out_h); ++oh) {
        for (int ow = first(of.column); ow < end(of.column, over.out_w); ++ow) {
          if (window_maximum(over, a.x, of.n, oh, ow, of.c).at != e) continue;
          const auto window = (of.n * static_cast<int>(over.out_h) + oh) * static_cast<int>(over.out_w) + ow;
          value = value + global_load(a.dz + window * static_cast<int>(over.channels) + of.c);
        }
      }
      if (a.dx != nullptr) global_store(a.dx + e, value);
      const std::int32_t key = magnitude_key(value);
      largest = key > largest ? key : largest;
      if (!a.sums_gradients) continue;
      if (a.gradient_sum.other != nullptr) value = value + global_load(a.gradient_sum.other + e);
      value = passes_mask(a.gradient_sum, e, static_cast<std::uint32_t>(of.c)) ? value : 0.0F;
      global_store(a.gradient_sum.u + e, value);
      const std::int32_t key_u = magnitude_key(value);
      largest_u = key_u > largest_u ? key_u : largest_u;
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
