// SPDX-License-Identifier: Apache-2.0
// The error pass of matrices whose outputs are more than 32-bit sums hold, a vocabulary: products by rows over parts of
// the reduction, whose sums are added in binary64, where they are exact.
#pragma once

#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

template <typename Tile>
struct DeepErrorKernel {
  using Product = Tile;
  static constexpr const char* kName = "convolution error";
  static constexpr int kThreads = 128, kMinBlocks = 2;
  static constexpr int kPart = 32768;  // terms whose sums of bytes stay below 2^31
  using Columns = EpilogueColumns<Tile::kTiles, Tile::kWarpRows>;
  struct Args {
    typename Tile::Source g;  // of a matrix, whose one tap has all outputs
    Packed weights;
    std::int32_t columns;  // input channels
    const ChannelScale* scale;
    const double* offset;
    float* dx;
    float* dx_bound;  // may be null; +0 before
  };
  static constexpr int kSource = (Tile::kEnd + 15) / 16 * 16;
  static constexpr int kSharedBytes = kSource + static_cast<int>(sizeof(typename Tile::Source));

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = Tile::column_tiles(a.g, a.columns), column_tile = block_index() % column_tiles;
    const ColumnSpan span = Tile::columns_at(a.g, a.columns, column_tile);
    const int column = Columns::column(), i0 = span.first + column;
    auto* source = shared_memory<typename Tile::Source>(kSource);
    std::int32_t largest = 0;
    for (int chunk = block_index() / column_tiles; chunk < Tile::chunks(a.g); chunk += block_count() / column_tiles) {
      double sums[Columns::kRows][4] = {}, streamed[Columns::kRows] = {};
      for (int first = 0; first < a.g.channels; first += kPart) {
        if (thread_index() == 0) {
          *source = a.g;
          source->channels = source->depth = a.g.channels - first < kPart ? a.g.channels - first : kPart;
        }
        sync_threads();
        const Packed weights{a.weights.bytes + first, a.weights.limbs, a.weights.rows, a.weights.depth};
        Tile tile(*source, weights, a.columns, column_tile * Tile::kColumns, 0, 0, first);
        tile.run(chunk, 0);
        BITCYCLE_UNROLL
        for (int i = 0; i < Columns::kRows; ++i) {
          const int r = Columns::row() + i * Columns::kStep;
          double part[4];
          Tile::load_sums(r, column, part);
          for (int j = 0; j < 4; ++j) sums[i][j] = sums[i][j] + part[j];
          streamed[i] = streamed[i] + static_cast<double>(Tile::load_row(Tile::kRowInfo, r).codes);
        }
        if (first + kPart < a.g.channels) tile.done();
      }
      BITCYCLE_UNROLL
      for (int i = 0; i < Columns::kRows; ++i) {
        const RowInfo row = Tile::load_row(Tile::kRowInfo, Columns::row() + i * Columns::kStep);
        if (row.at < 0 || i0 >= span.end) continue;
        Quad dx;
        for (int j = 0; j < 4; ++j) {
          const ChannelScale scale = a.scale[i0 + j];
          const double offset = global_load(a.offset + row.offsets + i0 + j);
          dx.v[j] = Tile::kSigned ? rescale_shared(scale.a, sums[i][j], offset)
                                  : rescale(scale.a, sums[i][j], scale.b, streamed[i], offset);
          const std::int32_t key = magnitude_key(dx.v[j]);
          largest = key > largest ? key : largest;
        }
        put_quad(a.dx, row.at + i0, dx);
      }
      Tile::done();
    }
    if (a.dx_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.dx_bound));
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
