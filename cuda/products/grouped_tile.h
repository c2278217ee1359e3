// SPDX-License-Identifier: Apache-2.0
// A tile of a product with groups (group_tiles.h): the tiles of products without, over a window of a pixel's channels.
#pragma once

#include "cuda/kernels/group_tiles.h"
#include "cuda/products/patch_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

template <typename Tile>
struct GroupedSource : Tile::Source {
  GroupTiles groups;
};

template <typename Tile>
struct Grouped : Tile {
  using Source = GroupedSource<Tile>;
  using Tile::kColumns;
  static constexpr int kForwardBlocks = 2, kErrorBlocks = 2;

  BITCYCLE_HD static std::int32_t column_tiles(const Source& x, std::int32_t) { return x.groups.tiles(); }
  BITCYCLE_DEVICE static ColumnSpan columns_at(const Source& x, std::int32_t, int tile) {
    return {tile * x.groups.width, x.groups.end(tile)};
  }
  /// Sums of the columns' groups: among the tile's columns, or the row's, where a tile has one group.
  struct StreamedSums {
    std::int32_t column[4];
    bool of_columns;
    BITCYCLE_DEVICE StreamedSums(const Source& x, int tile, int first) : of_columns(x.groups.sums) {
      const int before = kColumns - GroupTiles::kSums - x.groups.first_group(tile);
      for (int j = 0; j < 4; ++j) column[j] = before + (first + j) / x.groups.of_group;
    }
    BITCYCLE_DEVICE void load(std::uint32_t codes, int row, double (&sums)[4]) const {
      for (int j = 0; j < 4; ++j) {
        sums[j] = of_columns ? Tile::load_sum(row, column[j]) : static_cast<double>(codes);
      }
    }
  };
  BITCYCLE_DEVICE Grouped(const Source& source, const Packed& packed, int of_result, int first_row, int first_chunk,
                          int chunk_step)
      : Tile(source, packed, of_result, first_row, first_chunk, chunk_step,
             source.groups.first_channel(first_row / kColumns)) {}
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
