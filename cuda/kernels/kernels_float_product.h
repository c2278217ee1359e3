// SPDX-License-Identifier: Apache-2.0
// Convolutions without groups in float32: the forward and the error pass (docs/numerics.md, 6.2).
#pragma once

#include "cuda/kernels/kernels_float_tile.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A segment is a row of the kernel: kw * c terms, which are neighbours in x and in the weights.
struct FloatForwardKernel {
  static constexpr const char* kName = "convolution forward, float32";
  static constexpr int kThreads = FloatTile::kThreads;
  static constexpr int kMinBlocks = 4;
  static constexpr int kSharedBytes = FloatTile::kChunkFloats * 4 + static_cast<int>(sizeof(FloatSpans));
  struct Args {
    Geometry s;
    Divisor out_h, out_w, column_tiles;
    std::int32_t tiles;
    Operand x;
    const std::uint32_t* weights;
    const Affine* weight_affine;
    LaunchWidth weight_width;
    float* y;
  };
  struct Source {
    static constexpr bool kColumnsFirst = false;
    const Args& a;
    Affine x;
    std::int32_t row0, column0;

    BITCYCLE_DEVICE int segments() const { return a.s.kh; }
    BITCYCLE_DEVICE int length() const { return a.s.kw * a.s.c; }
    BITCYCLE_DEVICE FloatSpan span(int kh, int row) const {
      const Geometry& s = a.s;
      std::int32_t n = row0 + row;
      if (n >= s.n * s.out_h * s.out_w) return {};
      std::int32_t pixel = n;
      const std::int32_t line = divide(pixel, a.out_w);
      std::int32_t oh = line;
      const std::int32_t image = divide(oh, a.out_h);
      const int h = oh * s.stride - s.padding + kh, w = pixel * s.stride - s.padding;
      if (h < 0 || h >= s.h) return {};
      const int end = s.w - w < s.kw ? s.w - w : s.kw;
      return {((static_cast<std::int64_t>(image) * s.h + h) * s.w + w) * s.c, (w < 0 ? -w : 0) * s.c, end * s.c};
    }
    BITCYCLE_DEVICE float streamed(std::int64_t i) const { return load_value(a.x.codes, a.x.width, x, i); }
    BITCYCLE_DEVICE float weight(int kh, int k, int column) const {
      const int o = column0 + column;
      if (o >= a.s.o) return 0.0F;
      const std::int64_t at = (static_cast<std::int64_t>(o) * a.s.kh + kh) * length() + k;
      return weight_value(a.weights, a.weight_width.given, a.weight_affine[o], at);
    }
  };
  BITCYCLE_DEVICE static void run(const Args& launched) {
    const Args a = with_recorded_widths<&Args::x, &Args::weight_width>(launched);
    const Affine x = a.x.affine == nullptr ? Affine{} : *a.x.affine;
    const std::int32_t rows = a.s.n * a.s.out_h * a.s.out_w;
    for (std::int32_t tile = block_index(); tile < a.tiles; tile += block_count()) {
      std::int32_t column_tile = tile;
      const std::int32_t row_tile = divide(column_tile, a.column_tiles);
      const Source source{a, x, row_tile * FloatTile::kRows, column_tile * FloatTile::kColumns};
      FloatSums sums;
      float_tile_sums(source, sums);
      BITCYCLE_UNROLL
      for (int r = 0; r < FloatTile::kThreadRows; ++r) {
        const std::int32_t row = source.row0 + FloatTile::first_row() + r;
        if (row >= rows) break;
        store_float_sums(a.y + static_cast<std::int64_t>(row) * a.s.o, source.column0 + FloatTile::first_column(),
                         a.s.o, sums[r]);
      }
    }
  }
};

/// A segment is a tap: o terms, which are neighbours in the gradient. Positions whose row and column leave the same
/// remainder by the stride have the same taps: they make tiles of their own.
struct FloatErrorKernel {
  static constexpr const char* kName = "convolution error, float32";
  static constexpr int kThreads = FloatTile::kThreads;
  static constexpr int kMinBlocks = 3;
  static constexpr int kSharedBytes = FloatForwardKernel::kSharedBytes;
  struct Args {
    Geometry s;
    Divisor column_tiles;
    Operand g;
    const std::uint32_t* weights;  // error codes; float32: the values
    const Affine* error_affine;
    LaunchWidth weight_width;
    bool shared_grid;
    float* dx;
    float* dx_bound;  // may be null; +0 before
  };
  /// Of positions h = row_remainder + stride * i, i < rows, and so on.
  struct Class {
    int row_remainder = 0, column_remainder = 0, rows = 0, columns = 0;
    BITCYCLE_DEVICE Class(const Geometry& s, int index)
        : row_remainder(index / s.stride),
          column_remainder(index % s.stride),
          rows((s.h - row_remainder + s.stride - 1) / s.stride),
          columns((s.w - column_remainder + s.stride - 1) / s.stride) {
      if (rows < 0) rows = 0;
      if (columns < 0) columns = 0;
    }
    BITCYCLE_DEVICE std::int32_t positions(const Geometry& s) const { return s.n * rows * columns; }
  };
  struct Position {
    int n, h, w;
  };
  BITCYCLE_DEVICE static Position position(const Geometry& s, const Class& of, std::int32_t at) {
    const std::int32_t line = at / of.columns;
    return {line / of.rows, of.row_remainder + s.stride * (line % of.rows),
            of.column_remainder + s.stride * (at - line * of.columns)};
  }
  struct Source {
    static constexpr bool kColumnsFirst = true;
    const Args& a;
    Affine g;
    Class of;
    std::int32_t row0, column0;
    // Taps kh that this class has are first_kh, first_kh + stride, ...
    int first_kh, first_kw, count_kh, count_kw;

    BITCYCLE_DEVICE Source(const Args& args, const Affine& affine, const Class& positions, std::int32_t row,
                           std::int32_t column)
        : a(args),
          g(affine),
          of(positions),
          row0(row),
          column0(column),
          first_kh((positions.row_remainder + args.s.padding) % args.s.stride),
          first_kw((positions.column_remainder + args.s.padding) % args.s.stride),
          count_kh(args.s.kh > first_kh ? (args.s.kh - first_kh + args.s.stride - 1) / args.s.stride : 0),
          count_kw(args.s.kw > first_kw ? (args.s.kw - first_kw + args.s.stride - 1) / args.s.stride : 0) {}
    BITCYCLE_DEVICE int segments() const { return count_kh * count_kw; }
    BITCYCLE_DEVICE int length() const { return a.s.o; }
    BITCYCLE_DEVICE int kh(int segment) const { return first_kh + segment / count_kw * a.s.stride; }
    BITCYCLE_DEVICE int kw(int segment) const { return first_kw + segment % count_kw * a.s.stride; }
    BITCYCLE_DEVICE FloatSpan span(int segment, int row) const {
      const Geometry& s = a.s;
      if (row0 + row >= of.positions(s)) return {};
      const Position at = position(s, of, row0 + row);
      const int y = at.h + s.padding - kh(segment), x = at.w + s.padding - kw(segment);
      if (y < 0 || x < 0 || y / s.stride >= s.out_h || x / s.stride >= s.out_w) return {};
      return {output_index(s, at.n, y / s.stride, x / s.stride, 0), 0, s.o};
    }
    BITCYCLE_DEVICE float streamed(std::int64_t i) const { return load_value(a.g.codes, a.g.width, g, i); }
    BITCYCLE_DEVICE float weight(int segment, int o, int column) const {
      const int i = column0 + column;
      if (i >= a.s.c) return 0.0F;
      const std::int64_t at = weight_index(a.s, o, kh(segment), kw(segment), i);
      return error_weight_value(a.weights, a.weight_width.given, a.shared_grid, a.error_affine, i, at);
    }
  };
  BITCYCLE_DEVICE static void run(const Args& launched) {
    const Args a = with_recorded_widths<&Args::g, &Args::weight_width>(launched);
    const Affine g = a.g.affine == nullptr ? Affine{} : *a.g.affine;
    std::int32_t largest = 0;
    std::int32_t first_tile = 0;  // of the class
    for (int index = 0; index < a.s.stride * a.s.stride; ++index) {
      const Class of(a.s, index);
      const std::int32_t positions = of.positions(a.s);
      const std::int32_t tiles = (positions + FloatTile::kRows - 1) / FloatTile::kRows * a.column_tiles.value;
      // This block's tiles of the class: those whose number in the whole grid leaves its index.
      const std::int32_t mine = (block_index() - first_tile % block_count() + block_count()) % block_count();
      first_tile += tiles;
      for (std::int32_t tile = mine; tile < tiles; tile += block_count()) {
        std::int32_t column_tile = tile;
        const std::int32_t row_tile = divide(column_tile, a.column_tiles);
        const Source source(a, g, of, row_tile * FloatTile::kRows, column_tile * FloatTile::kColumns);
        FloatSums sums;
        float_tile_sums(source, sums);
        const int column = source.column0 + FloatTile::first_column();
        BITCYCLE_UNROLL
        for (int r = 0; r < FloatTile::kThreadRows; ++r) {
          const std::int32_t row = source.row0 + FloatTile::first_row() + r;
          if (row >= positions) break;
          const Position at = position(a.s, of, row);
          store_float_sums(a.dx + input_index(a.s, at.n, at.h, at.w, 0), column, a.s.c, sums[r]);
          for (int c = 0; c < 4 && column + c < a.s.c; ++c) {
            const std::int32_t key = magnitude_key(sums[r][c]);
            largest = key > largest ? key : largest;
          }
        }
      }
    }
    if (a.dx_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.dx_bound));
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
