// SPDX-License-Identifier: Apache-2.0
// The weight gradient of convolutions without groups in float32 (docs/numerics.md, 6.2).
#pragma once

#include "cuda/kernels/kernels_float_tile.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Rows are output channels, columns the taps and input channels of a filter, the depth the positions of one sample. A
/// block takes a tile and every `parts`-th sample, whose sums it adds on the grid of 7.1; the last block of a tile
/// makes floats of what all have added.
struct FloatWeightGradientKernel {
  static constexpr const char* kName = "convolution weight gradient, float32";
  static constexpr int kThreads = FloatTile::kThreads;
  static constexpr int kMinBlocks = 3;
  struct Args {
    Geometry s;
    Divisor out_w, column_tiles, parts;
    std::int32_t tiles;  // of the result
    Operand x, g;
    const Range *x_range, *g_range;  // of float32 operands; may be null
    std::int64_t* sums;              // (o, taps * c); 0 before and after
    std::uint32_t* arrivals;         // (tiles); likewise
    float* dw;
  };
  /// Of the tile's columns: where the tap's input lies from that of the output's position, and which positions have it.
  struct Columns {
    int offset[FloatTile::kColumns];
    int h0[FloatTile::kColumns], h1[FloatTile::kColumns], w0[FloatTile::kColumns], w1[FloatTile::kColumns];
    std::uint32_t last;
  };
  static constexpr int kSharedBytes = FloatTile::kChunkFloats * 4 + static_cast<int>(sizeof(Columns));

  BITCYCLE_DEVICE static void prepare_columns(const Args& a, std::int32_t column0, Columns* columns) {
    const Geometry& s = a.s;
    const int column = thread_index();
    if (column >= FloatTile::kColumns) return;
    const int j = column0 + column;
    int h0 = 0, h1 = 0, w0 = 0, w1 = 0, offset = 0;
    if (j < s.taps() * s.c) {
      const int kh = j / (s.kw * s.c), kw = j / s.c % s.kw;
      tap_span(kh, s.h, s.out_h, s, &h0, &h1);
      tap_span(kw, s.w, s.out_w, s, &w0, &w1);
      offset = (kh * s.w + kw) * s.c + j % s.c;
    }
    shared_store(&columns->offset[column], offset);
    shared_store(&columns->h0[column], h0);
    shared_store(&columns->h1[column], h1);
    shared_store(&columns->w0[column], w0);
    shared_store(&columns->w1[column], w1);
  }
  struct Spans {
    int h0 = 0, h1 = 0, w0 = 0, w1 = 0;
    BITCYCLE_DEVICE Spans(const Columns* columns, int column)
        : h0(shared_load(&columns->h0[column])),
          h1(shared_load(&columns->h1[column])),
          w0(shared_load(&columns->w0[column])),
          w1(shared_load(&columns->w1[column])) {}
    BITCYCLE_DEVICE bool has(int oh, int ow) const { return oh >= h0 && oh < h1 && ow >= w0 && ow < w1; }
  };

  /// Adds the sums of sample n.
  BITCYCLE_DEVICE static void sample(const Args& a, const Affine& x, const Affine& g, int n, std::int32_t row0,
                                     const Columns* columns, const Spans& common, FloatSums& sums) {
    using T = FloatTile;
    const Geometry& s = a.s;
    auto* chunk = shared_memory<float>(0);
    const int line = thread_index() % T::kRows, term = thread_index() / T::kRows;  // of the loads of both operands
    constexpr int kTerms = T::kThreads / T::kRows;
    const bool has_row = row0 + line < s.o;
    const Spans mine(columns, line);
    const std::int64_t x_offset = shared_load(&columns->offset[line]);
    const std::int32_t positions = s.out_h * s.out_w;
    float of_g[T::kLoads], of_x[T::kLoads];
    const auto load = [&](std::int32_t first) {
      BITCYCLE_UNROLL
      for (int j = 0; j < T::kLoads; ++j) {
        const std::int32_t p = first + term + j * kTerms;
        std::int32_t ow = p;
        const std::int32_t oh = divide(ow, a.out_w);
        const bool inside = p < positions;
        of_g[j] = inside && has_row ? load_value(a.g.codes, a.g.width, g,
                                                 (static_cast<std::int64_t>(n) * positions + p) * s.o + row0 + line)
                                    : 0.0F;
        // The input at the window's top left element may lie outside; that at the tap does not.
        const std::int64_t corner =
            (static_cast<std::int64_t>(n) * s.h + oh * s.stride - s.padding) * s.w + (ow * s.stride - s.padding);
        of_x[j] = inside && mine.has(oh, ow) ? load_value(a.x.codes, a.x.width, x, corner * s.c + x_offset) : 0.0F;
      }
    };
    load(0);
    for (std::int32_t first = 0; first < positions; first += T::kDepth) {
      BITCYCLE_UNROLL
      for (int j = 0; j < T::kLoads; ++j) {
        shared_store(chunk + (term + j * kTerms) * T::kPitch + line, of_g[j]);
        shared_store(chunk + (T::kDepth + term + j * kTerms) * T::kPitch + line, of_x[j]);
      }
      sync_threads();
      const int count = positions - first < T::kDepth ? positions - first : T::kDepth;
      if (first + count < positions) load(first + count);
      std::int32_t ow = first, last_ow = first + count - 1;
      const std::int32_t oh = divide(ow, a.out_w), last_oh = divide(last_ow, a.out_w);
      const bool one_line = oh == last_oh;
      if (common.has(oh, one_line ? ow : 0) && common.has(last_oh, one_line ? last_ow : s.out_w - 1)) {
        add_float_terms(sums, chunk, count);
      } else {
        const Spans of[4] = {{columns, T::first_column()},
                             {columns, T::first_column() + 1},
                             {columns, T::first_column() + 2},
                             {columns, T::first_column() + 3}};
        for (int k = 0; k < count; ++k) {
          std::int32_t w = first + k;
          const std::int32_t h = divide(w, a.out_w);
          add_float_term(sums, chunk + k * T::kPitch, chunk + (T::kDepth + k) * T::kPitch,
                         [&](int, int c) { return of[c].has(h, w); });
        }
      }
      sync_threads();
    }
  }

  BITCYCLE_DEVICE static void run(const Args& launched) {
    using T = FloatTile;
    const Args a = with_recorded_widths<&Args::x, &Args::g>(launched);
    const Geometry& s = a.s;
    const Affine x = *a.x.affine, g = *a.g.affine;
    const int exponent = float_gradient_exponent(s, a.x, a.x_range, a.g, a.g_range);
    const float to_grid = power_of_two(exponent);
    const int width = s.taps() * s.c;
    auto* columns = shared_memory<Columns>(T::kChunkFloats * static_cast<int>(sizeof(float)));
    for (std::int32_t work = block_index(); work < a.tiles * a.parts.value; work += block_count()) {
      std::int32_t part = work;
      const std::int32_t tile = divide(part, a.parts);
      std::int32_t column_tile = tile;
      const std::int32_t row0 = divide(column_tile, a.column_tiles) * T::kRows, column0 = column_tile * T::kColumns;
      sync_threads();
      prepare_columns(a, column0, columns);
      sync_threads();
      // Positions that exist for all four of this thread's columns.
      Spans common(columns, T::first_column());
      BITCYCLE_UNROLL
      for (int c = 1; c < 4; ++c) {
        const Spans other(columns, T::first_column() + c);
        common.h0 = other.h0 > common.h0 ? other.h0 : common.h0;
        common.h1 = other.h1 < common.h1 ? other.h1 : common.h1;
        common.w0 = other.w0 > common.w0 ? other.w0 : common.w0;
        common.w1 = other.w1 < common.w1 ? other.w1 : common.w1;
      }
      std::int64_t total[T::kThreadRows][4] = {};
      for (int n = part; n < s.n; n += a.parts.value) {
        FloatSums sums = {};
        sample(a, x, g, n, row0, columns, common, sums);
        BITCYCLE_UNROLL
        for (int r = 0; r < T::kThreadRows; ++r) {
          BITCYCLE_UNROLL
          for (int c = 0; c < 4; ++c) add_wrapping(total[r][c], on_grid(sums[r][c], to_grid));
        }
      }
      const int row = row0 + T::first_row(), column = column0 + T::first_column();
      const bool alone = a.parts.value == 1;
      BITCYCLE_UNROLL
      for (int r = 0; r < T::kThreadRows; ++r) {
        BITCYCLE_UNROLL
        for (int c = 0; c < 4; ++c) {
          if (row + r >= s.o || column + c >= width) continue;
          const std::int64_t e = static_cast<std::int64_t>(row + r) * width + column + c;
          if (alone) {
            global_store(a.dw + e, static_cast<float>(sum_value(total[r][c], exponent)));
          } else {
            atomic_add(a.sums + e, total[r][c]);
          }
        }
      }
      if (alone || !last_block(a.arrivals + tile, &columns->last, a.parts.value)) continue;
      for (int i = thread_index(); i < T::kRows * T::kColumns; i += block_threads()) {
        const int o = row0 + i / T::kColumns, j = column0 + i % T::kColumns;
        if (o >= s.o || j >= width) continue;
        const std::int64_t e = static_cast<std::int64_t>(o) * width + j;
        global_store(a.dw + e, static_cast<float>(sum_value(atomic_load(a.sums + e), exponent)));
        global_store(a.sums + e, std::int64_t{0});
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
