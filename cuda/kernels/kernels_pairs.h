// SPDX-License-Identifier: Apache-2.0
// Products of two activations, head by head (docs/numerics.md, 6.11). A block makes 64 x 64 results of one head. Both
// operands go through shared memory, a result's terms side by side; pairs that do not exist are codes of 0 there, and
// the sum of the other operand's codes over the terms that exist is a product of its own, with ones in their places.
// Codes of more than 8 bits, and sums too long for 32 bits, take plain loops.
#pragma once

#include <type_traits>

#include "cuda/kernels/kernels_common.h"
#include "sim/ops/pair_shape.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// One head of one sample as a matrix product: rows x columns results of `depth` terms.
struct HeadProduct {
  ops::PairForm form;
  const ops::PairShape& shape;
  std::int64_t pairs, rows_at, columns_at;  // elements
  std::int64_t step;                        // from a row of a head to the next
  std::int32_t rows, columns, depth;

  BITCYCLE_DEVICE HeadProduct(const ops::PairContraction& over, std::int64_t head)
      : form(over.form), shape(over.shape) {
    const ops::PairShape& s = over.shape;
    const std::int64_t b = head / s.heads, h = head % s.heads;
    pairs = head * s.m * s.n;
    rows_at = (b * s.m * s.heads + h) * s.d;
    columns_at = (b * s.n * s.heads + h) * s.d;
    step = s.heads * s.d;
    rows = static_cast<std::int32_t>(form == ops::PairForm::kColumns ? s.n : s.m);
    columns = static_cast<std::int32_t>(form == ops::PairForm::kPairs ? s.n : s.d);
    depth = static_cast<std::int32_t>(form == ops::PairForm::kPairs ? s.d : (form == ops::PairForm::kRows ? s.n : s.m));
  }
  /// Left operand of a row's term k; its terms are neighbours but in the form of columns.
  BITCYCLE_DEVICE std::int64_t lhs(std::int32_t row, std::int32_t k) const {
    if (form == ops::PairForm::kPairs) return rows_at + row * step + k;
    return form == ops::PairForm::kRows ? pairs + row * shape.n + k : pairs + k * shape.n + row;
  }
  /// Right operand of a column's term k; its terms are neighbours in the form of pairs alone.
  BITCYCLE_DEVICE std::int64_t rhs(std::int32_t column, std::int32_t k) const {
    if (form == ops::PairForm::kPairs) return columns_at + column * step + k;
    return (form == ops::PairForm::kRows ? columns_at : rows_at) + k * step + column;
  }
  BITCYCLE_DEVICE std::int64_t out(std::int32_t row, std::int32_t column) const {
    if (form == ops::PairForm::kPairs) return pairs + row * shape.n + column;
    return (form == ops::PairForm::kRows ? rows_at : columns_at) + row * step + column;
  }
  /// Terms first .. end - 1 of a row exist.
  BITCYCLE_DEVICE std::int32_t first(std::int32_t row) const {
    return form == ops::PairForm::kColumns ? static_cast<std::int32_t>(shape.first_row_of(row)) : 0;
  }
  BITCYCLE_DEVICE std::int32_t end(std::int32_t row) const {
    return form == ops::PairForm::kRows ? static_cast<std::int32_t>(shape.columns_of(row)) : depth;
  }
  BITCYCLE_DEVICE bool exists(std::int32_t row, std::int32_t column) const {
    return form != ops::PairForm::kPairs || column < shape.columns_of(row);
  }
};

/// Where a block's results are, and its first one.
struct HeadTile {
  static constexpr int kSide = 64;
  std::int64_t head;
  std::int32_t row, column;
  BITCYCLE_DEVICE HeadTile(std::int32_t row_tiles, std::int32_t column_tiles) {
    const int of_head = block_index() % (row_tiles * column_tiles);
    head = block_index() / (row_tiles * column_tiles);
    row = of_head / column_tiles * kSide;
    column = of_head % column_tiles * kSide;
  }
};

struct PairProductKernel {
  static constexpr const char* kName = "pair product";
  static constexpr int kThreads = 128;
  static constexpr int kSide = HeadTile::kSide, kDepth = 64, kPitch = kDepth + 16;
  static constexpr int kSharedBytes = 2 * kSide * kPitch;
  static constexpr std::int64_t kLongest = 33025;  // terms of which every sum of 8 x 8 bits fits an int32
  struct Args {
    ops::PairContraction over;
    std::int32_t row_tiles, column_tiles;
    Operand lhs, rhs;
    void* sums;  // may be null
    std::int32_t sum_bytes;
    float* y;  // may be null
  };

  /// Bytes first .. end - 1 of the four from k on are 1.
  BITCYCLE_DEVICE static std::uint32_t ones(std::int32_t k, std::int32_t first, std::int32_t end) {
    std::uint32_t word = 0;
    for (int j = 0; j < 4; ++j) {
      if (k + j >= first && k + j < end) word |= 1U << (8 * j);
    }
    return word;
  }
  template <bool Left>
  BITCYCLE_DEVICE static void stage(const HeadProduct& p, const std::uint8_t* codes, std::int32_t at, std::int32_t k0,
                                    std::uint8_t* shared) {
    // Neighbours in memory go to neighbouring threads.
    const bool along = p.form == ops::PairForm::kPairs || (Left && p.form == ops::PairForm::kRows);
    const std::int32_t count = Left ? p.rows : p.columns;
    for (int i = thread_index(); i < kSide * kDepth; i += kThreads) {
      const std::int32_t r = along ? i / kDepth : i % kSide, k = along ? i % kDepth : i / kSide;
      const std::int32_t row = at + r, term = k0 + k;
      std::uint8_t code = 0;
      if (row < count && term < p.depth) {
        if constexpr (Left) {
          if (term >= p.first(row) && term < p.end(row)) code = global_load(codes + p.lhs(row, term));
        } else {
          code = global_load(codes + p.rhs(row, term));
        }
      }
      shared_store(shared + r * kPitch + k, code);
    }
  }
  BITCYCLE_DEVICE static void store(const Args& a, const HeadProduct& p, std::int32_t row, std::int32_t column,
                                    Int128 sum, std::int64_t lhs_sum, std::int64_t rhs_sum) {
    if (row >= p.rows || column >= p.columns) return;
    const std::int64_t at = p.out(row, column);
    const bool exists = p.exists(row, column);
    if (a.sums != nullptr) {
      if (!exists) sum = 0;
      if (a.sum_bytes == 4) global_store(static_cast<std::int32_t*>(a.sums) + at, static_cast<std::int32_t>(sum));
      if (a.sum_bytes == 8) global_store(static_cast<std::int64_t*>(a.sums) + at, static_cast<std::int64_t>(sum));
      if (a.sum_bytes == 16) static_cast<Int128*>(a.sums)[at] = sum;
    }
    if (a.y == nullptr) return;
    float y = 0.0F;
    if (exists) {
      const Affine lhs = *a.lhs.affine, rhs = *a.rhs.affine;
      const ProductScale scale = product_scale(lhs, rhs);
      const std::int64_t terms = p.end(row) - p.first(row);
      const auto narrow = static_cast<std::int64_t>(sum);
      y = rescale(scale.a, narrow == sum ? to_binary64(narrow) : to_binary64(sum), scale.b, to_binary64(lhs_sum),
                  product_offset(lhs, rhs, to_binary64(rhs_sum), to_binary64(terms)));
    }
    global_store(a.y + at, y);
  }

  BITCYCLE_DEVICE_CALL static void plain(const Args& a, const HeadProduct& p, const HeadTile& tile,
                                         Container lhs_container, Container rhs_container) {
    for (int i = thread_index(); i < kSide * kSide; i += kThreads) {
      const std::int32_t row = tile.row + i / kSide, column = tile.column + i % kSide;
      if (row >= p.rows || column >= p.columns) continue;
      Int128 sum = 0;
      std::int64_t lhs_sum = 0, rhs_sum = 0;
      for (std::int32_t k = p.first(row); k < p.end(row); ++k) {
        const std::uint32_t l = load_code(a.lhs.codes, lhs_container, p.lhs(row, k));
        const std::uint32_t r = load_code(a.rhs.codes, rhs_container, p.rhs(column, k));
        sum += static_cast<Int128>(std::uint64_t{l} * r);
        lhs_sum += l;
        rhs_sum += r;
      }
      store(a, p, row, column, sum, lhs_sum, rhs_sum);
    }
  }

  BITCYCLE_DEVICE static void run(const Args& a) {
    const HeadTile tile(a.row_tiles, a.column_tiles);
    const HeadProduct p(a.over, tile.head);
    const Container lhs_container = with_recorded_width(a.lhs).width.container();
    const Container rhs_container = with_recorded_width(a.rhs).width.container();
    if (lhs_container != Container::kUint8 || rhs_container != Container::kUint8 || p.depth > kLongest) {
      plain(a, p, tile, lhs_container, rhs_container);
      return;
    }
    auto* left = shared_memory<std::uint8_t>(0);
    auto* right = shared_memory<std::uint8_t>(kSide * kPitch);
    const int lane = lane_index(), warp_row = 16 * (thread_index() / 32);
    // Rows of this thread's results, and their terms.
    std::int32_t row[2], first[2], end[2];
    for (int i = 0; i < 2; ++i) {
      row[i] = tile.row + warp_row + lane / 4 + 8 * i;
      const bool is_row = row[i] < p.rows;
      first[i] = is_row ? p.first(row[i]) : 0;
      end[i] = is_row ? p.end(row[i]) : 0;
    }
    std::int32_t sums[1][8][4] = {}, rhs_sums[1][8][4] = {}, lhs_sums[1][1][4] = {};
    const std::uint32_t all_ones[1][2] = {{0x01010101U, 0x01010101U}};
    for (std::int32_t k0 = 0; k0 < p.depth; k0 += kDepth) {
      sync_threads();
      stage<true>(p, static_cast<const std::uint8_t*>(a.lhs.codes), tile.row, k0, left);
      stage<false>(p, static_cast<const std::uint8_t*>(a.rhs.codes), tile.column, k0, right);
      sync_threads();
      BITCYCLE_UNROLL
      for (int k = 0; k < kDepth; k += 32) {
        std::uint32_t x[1][4], exist[1][4], b[8][2];
        load_matrices(x[0], left + (warp_row + lane % 16) * kPitch + k + 16 * (lane / 16));
        BITCYCLE_UNROLL
        for (int n = 0; n < 8; n += 2) {
          std::uint32_t r[4];
          load_matrices(r, right + (8 * n + lane % 8 + 8 * (lane / 16)) * kPitch + k + 16 * (lane / 8 % 2));
          b[n][0] = r[0];
          b[n][1] = r[1];
          b[n + 1][0] = r[2];
          b[n + 1][1] = r[3];
        }
        const std::int32_t term = k0 + k + 4 * (lane % 4);
        BITCYCLE_UNROLL
        for (int i = 0; i < 4; ++i) exist[0][i] = ones(term + 16 * (i / 2), first[i % 2], end[i % 2]);
        multiply_tiles<false, 1, 8>(sums, x, b);
        multiply_tiles<false, 1, 8>(rhs_sums, exist, b);
        multiply_tiles<false, 1, 1>(lhs_sums, x, all_ones);
      }
    }
    BITCYCLE_UNROLL
    for (int n = 0; n < 8; ++n) {
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        store(a, p, row[i / 2], tile.column + 8 * n + 2 * (lane % 4) + i % 2, sums[0][n][i], lhs_sums[0][0][i],
              rhs_sums[0][n][i]);
      }
    }
  }
};

/// The same of binary32 values: a result is one fma sum from +0 over the terms that exist, ascending. A thread makes
/// 4 x 4 results.
struct PairFloatProductKernel {
  static constexpr const char* kName = "pair product, float32";
  static constexpr int kThreads = 256;
  static constexpr int kSide = HeadTile::kSide, kDepth = 16, kPitch = kSide + 4;
  static constexpr int kSharedBytes = 2 * kDepth * kPitch * 4;
  struct Args {
    ops::PairContraction over;
    std::int32_t row_tiles, column_tiles;
    const float *lhs, *rhs;
    float* y;
  };
  template <bool Left>
  BITCYCLE_DEVICE static void stage(const HeadProduct& p, const float* values, std::int32_t at, std::int32_t k0,
                                    float* shared) {
    const bool along = p.form == ops::PairForm::kPairs || (Left && p.form == ops::PairForm::kRows);
    const std::int32_t count = Left ? p.rows : p.columns;
    for (int i = thread_index(); i < kSide * kDepth; i += kThreads) {
      const std::int32_t r = along ? i / kDepth : i % kSide, k = along ? i % kDepth : i / kSide;
      const std::int32_t row = at + r, term = k0 + k;
      float value = 0.0F;
      if (row < count && term < p.depth) value = global_load(values + (Left ? p.lhs(row, term) : p.rhs(row, term)));
      shared_store(shared + k * kPitch + r, value);
    }
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const HeadTile tile(a.row_tiles, a.column_tiles);
    const HeadProduct p(a.over, tile.head);
    auto* left = shared_memory<float>(0);
    auto* right = shared_memory<float>(kDepth * kPitch * 4);
    const int r0 = 4 * (thread_index() / 16), c0 = 4 * (thread_index() % 16);
    std::int32_t first[4], end[4];
    for (int i = 0; i < 4; ++i) {
      const std::int32_t row = tile.row + r0 + i;
      first[i] = row < p.rows ? p.first(row) : 0;
      end[i] = row < p.rows ? p.end(row) : 0;
    }
    float sum[4][4] = {};
    for (std::int32_t k0 = 0; k0 < p.depth; k0 += kDepth) {
      sync_threads();
      stage<true>(p, a.lhs, tile.row, k0, left);
      stage<false>(p, a.rhs, tile.column, k0, right);
      sync_threads();
      for (int k = 0; k < kDepth && k0 + k < p.depth; ++k) {
        const Quad l = shared_load(reinterpret_cast<const Quad*>(left + k * kPitch + r0));
        const Quad r = shared_load(reinterpret_cast<const Quad*>(right + k * kPitch + c0));
        BITCYCLE_UNROLL
        for (int i = 0; i < 4; ++i) {
          const bool exists = k0 + k >= first[i] && k0 + k < end[i];
          BITCYCLE_UNROLL
          for (int j = 0; j < 4; ++j) {
            const float more = fmaf(l.v[i], r.v[j], sum[i][j]);
            sum[i][j] = exists ? more : sum[i][j];
          }
        }
      }
    }
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) {
        const std::int32_t row = tile.row + r0 + i, column = tile.column + c0 + j;
        if (row >= p.rows || column >= p.columns) continue;
        global_store(a.y + p.out(row, column), p.exists(row, column) ? sum[i][j] : 0.0F);
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
