// SPDX-License-Identifier: Apache-2.0
// All time steps of an LSTM layer whose products are of bytes (docs/numerics.md, 6.9 and 6.10). Forward, a launch a
// time step: every block quantises the state's rows that it needs, multiplies them with the recurrent weights of 8
// units' four gates, and goes on to the cell of those units. Backward, two launches a time step: the codes of both
// products' gradients, and the error pass of the recurrent weights with the cell of the time step before. What needs no
// time step before it is one launch for all of them. Warps divide the terms of a product among them; fragments come
// straight from memory where both operands lie with their terms side by side, for the order of an integer sum is free.
#pragma once

#include "cuda/kernels/kernels_lstm.h"
#include "cuda/kernels/kernels_nodes.h"
#include "cuda/kernels/kernels_weights.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A time step of a layer, in device memory. Null: nobody looks at it.
struct LstmStep {
  // Of the forward pass.
  const float* x = nullptr;         // (n, inputs)
  std::uint8_t* x_codes = nullptr;  // (n, inputs)
  Affine* x_grid = nullptr;
  Range* x_range = nullptr;
  const float *h = nullptr, *cell = nullptr;  // (n, units)
  std::uint8_t* h_codes = nullptr;            // (n, units)
  Affine* h_grid = nullptr;
  Range* h_range = nullptr;
  float *gates = nullptr, *next_cell = nullptr, *squashed = nullptr, *output = nullptr;
  // Of the backward pass; what both passes have is above.
  const float* doutput = nullptr;  // (n, units), without what comes from the next time step
  Range *x_product_range = nullptr, *h_product_range = nullptr;  // of the gradient, for the reports of both products
  Affine *x_product_grid = nullptr, *h_product_grid = nullptr;
  std::uint8_t *x_product_codes = nullptr, *h_product_codes = nullptr;  // (n, 4 units)
  std::uint32_t x_product_noise = 0, h_product_noise = 0;               // tensor ids of their streams
  float* dx = nullptr;                                                  // (n, inputs)
};

/// What the launches of a layer share.
struct LstmLayer {
  const LstmStep* steps;
  std::int32_t count, rows, inputs, units;
  std::int32_t *lo, *hi;  // keys of a range a time step
};

/// The weights of one of the two products.
struct LstmWeights {
  Packed packed;
  const Affine* affine;           // forward: one an output channel; error pass: the shared grid
  const std::int64_t* code_sums;  // one a row of what is packed
};

/// A tile of 32 rows by 8 NT columns of a product, its terms divided among eight warps, as partial sums in shared
/// memory.
template <int NT>
struct RowTile {
  static constexpr int kThreads = 256, kWarps = kThreads / 32, kRows = 32;
  static constexpr int kColumns = 8 * NT, kPitch = kColumns + 8;
  static constexpr int kSharedBytes = kWarps * kRows * kPitch * 4;
  /// `row(r)`: pointer to the first of the row's codes, of which `chunks` times 64 are read, or null; `column(n)`: of
  /// the packed row of column n.
  template <typename Row, typename Column>
  BITCYCLE_DEVICE static void multiply(int chunks, Row row, Column column, bool is_signed, std::int32_t* partial,
                                       std::int32_t* row_sums) {
    const int lane = lane_index(), warp = thread_index() / 32, part = 16 * (lane % 4);
    std::int32_t sums[2][NT][4] = {}, code_sums[2][1][4] = {};
    const std::uint32_t ones[1][2] = {{0x01010101U, 0x01010101U}};
    const std::uint8_t* a_row[4];
    BITCYCLE_UNROLL
    for (int i = 0; i < 4; ++i) a_row[i] = row(lane / 4 + 8 * i);
    const std::uint8_t* b_row[NT];
    BITCYCLE_UNROLL
    for (int n = 0; n < NT; ++n) b_row[n] = column(n, lane / 4);
    for (int chunk = warp; chunk < chunks; chunk += kWarps) {
      Word4 a[4], b[NT];
      BITCYCLE_UNROLL
      for (int n = 0; n < NT; ++n) b[n] = global_load(reinterpret_cast<const Word4*>(b_row[n] + chunk * 64 + part));
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[i] = a_row[i] == nullptr ? Word4{} : *reinterpret_cast<const Word4*>(a_row[i] + chunk * 64 + part);
      }
      BITCYCLE_UNROLL
      for (int half = 0; half < 4; half += 2) {
        std::uint32_t left[2][4], right[NT][2];
        BITCYCLE_UNROLL
        for (int m = 0; m < 2; ++m) {
          left[m][0] = a[2 * m].v[half];
          left[m][1] = a[2 * m + 1].v[half];
          left[m][2] = a[2 * m].v[half + 1];
          left[m][3] = a[2 * m + 1].v[half + 1];
        }
        BITCYCLE_UNROLL
        for (int n = 0; n < NT; ++n) {
          right[n][0] = b[n].v[half];
          right[n][1] = b[n].v[half + 1];
        }
        if (is_signed) {
          // Column tile 0: the low byte of a signed word; 1: the high one.
          const std::uint32_t low[1][2] = {{right[0][0], right[0][1]}},
                              high[1][2] = {{right[NT - 1][0], right[NT - 1][1]}};
          std::int32_t of_low[2][1][4], of_high[2][1][4];
          BITCYCLE_UNROLL
          for (int m = 0; m < 2; ++m) {
            BITCYCLE_UNROLL
            for (int i = 0; i < 4; ++i) {
              of_low[m][0][i] = sums[m][0][i];
              of_high[m][0][i] = sums[m][NT - 1][i];
            }
          }
          multiply_tiles<false, 2, 1>(of_low, left, low);
          multiply_tiles<true, 2, 1>(of_high, left, high);
          BITCYCLE_UNROLL
          for (int m = 0; m < 2; ++m) {
            BITCYCLE_UNROLL
            for (int i = 0; i < 4; ++i) {
              sums[m][0][i] = of_low[m][0][i];
              sums[m][NT - 1][i] = of_high[m][0][i];
            }
          }
        } else {
          multiply_tiles<false, 2, NT>(sums, left, right);
          multiply_tiles<false, 2, 1>(code_sums, left, ones);
        }
      }
    }
    BITCYCLE_UNROLL
    for (int m = 0; m < 2; ++m) {
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int r = 16 * m + lane / 4 + 8 * (i / 2);
        BITCYCLE_UNROLL
        for (int n = 0; n < NT; ++n) {
          shared_store(partial + (warp * kRows + r) * kPitch + 8 * n + 2 * (lane % 4) + i % 2, sums[m][n][i]);
        }
        if (row_sums != nullptr && lane % 4 == 0 && i % 2 == 0) {
          shared_store(row_sums + warp * kRows + r, code_sums[m][0][i]);
        }
      }
    }
    sync_threads();
  }
  BITCYCLE_DEVICE static std::int64_t sum(const std::int32_t* partial, int row, int column) {
    std::int64_t all = 0;
    for (int w = 0; w < kWarps; ++w) all += shared_load(partial + (w * kRows + row) * kPitch + column);
    return all;
  }
  BITCYCLE_DEVICE static std::int64_t row_sum(const std::int32_t* row_sums, int row) {
    std::int64_t all = 0;
    for (int w = 0; w < kWarps; ++w) all += shared_load(row_sums + w * kRows + row);
    return all;
  }
};

/// Extremes of a time step, by warps, to where its blocks' meet.
BITCYCLE_DEVICE void merge_range(KeyRange keys, std::int32_t* lo, std::int32_t* hi) {
  keys = warp_range(keys);
  if (lane_index() != 0 || keys.lo > keys.hi) return;
  atomic_min(lo, keys.lo);
  atomic_max(hi, keys.hi);
}

/// Where a block of a product over time steps, tiles of rows and tiles of 8 units is.
struct LstmBlock {
  int step, row, unit;
  BITCYCLE_DEVICE LstmBlock(std::int32_t rows, std::int32_t units) {
    const int unit_tiles = units / 8, row_tiles = (rows + 31) / 32;
    unit = block_index() % unit_tiles * 8;
    row = block_index() / unit_tiles % row_tiles * 32;
    step = block_index() / unit_tiles / row_tiles;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
