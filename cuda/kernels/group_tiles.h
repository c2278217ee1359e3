// SPDX-License-Identifier: Apache-2.0
// How a product of a convolution's groups is cut for tensor cores.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

/// A tile has neighbouring columns of the result, whatever groups they belong to, and a window of the streamed
/// channels, which holds all channels of these groups. Its weights are 0 where a channel is none of a column's group,
/// so that narrow groups fill a tile together. Where offsets need the sum of a group's streamed codes, the tile's last
/// columns are those sums: their weights are 1 at a group's channels.
struct GroupTiles {
  static constexpr std::int32_t kSums = 8;  // columns of sums, where there are any: the most groups of such a tile
  std::int32_t columns = 0, channels = 0;   // of the result, of a streamed pixel
  std::int32_t of_group = 1, inputs = 1;    // columns and channels of a group
  std::int32_t width = 4;                   // columns of the result that a tile has
  std::int32_t rows = 0;                    // of a tile's weights, one for each column
  std::int32_t window = 0, unit = 1;        // streamed channels of a tile; windows begin at multiples of the unit
  bool sums = false;                        // whether a tile has columns of sums

  BITCYCLE_HD std::int32_t tiles() const { return (columns + width - 1) / width; }
  BITCYCLE_HD std::int32_t end(std::int32_t tile) const {
    return (tile + 1) * width < columns ? (tile + 1) * width : columns;
  }
  BITCYCLE_HD std::int32_t first_group(std::int32_t tile) const { return tile * width / of_group; }
  BITCYCLE_HD std::int32_t last_group(std::int32_t tile) const { return (end(tile) - 1) / of_group; }
  /// Where a tile's window begins. The last ones move back, so that all lie inside a pixel.
  BITCYCLE_HD std::int32_t first_channel(std::int32_t tile) const {
    const std::int32_t first = first_group(tile) * inputs / unit * unit, last = channels - window;
    return first < last ? first : (last < 0 ? 0 : last);
  }

  /// The window that the widest tile needs, and the most groups of a tile.
  void fit_window() {
    window = 0;
    for (std::int32_t tile = 0; tile < tiles(); ++tile) {
      const std::int32_t begin = first_group(tile) * inputs / unit * unit;
      const std::int32_t after = ((last_group(tile) + 1) * inputs + unit - 1) / unit * unit;
      window = std::max(window, after - begin);
    }
  }
  std::int32_t most_groups() const {
    std::int32_t most = 0;
    for (std::int32_t tile = 0; tile < tiles(); ++tile) most = std::max(most, last_group(tile) - first_group(tile) + 1);
    return most;
  }
};

/// What a product asks of its tiles: rows of a tile's weights, and whether sums of streamed codes.
struct GroupTileNeeds {
  std::int32_t rows;
  bool sums;
};

/// The tiles with the least work: a stage of the reduction costs its products and its copies.
inline GroupTiles group_tiles(std::int64_t columns, std::int64_t channels, std::int64_t groups, std::int64_t taps,
                              const GroupTileNeeds& needs) {
  constexpr std::int64_t kCopies = 32, kStage = 64;
  const auto narrow = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  GroupTiles tiles, best;
  tiles.columns = narrow(columns);
  tiles.channels = narrow(channels);
  tiles.of_group = narrow(columns / groups);
  tiles.inputs = narrow(channels / groups);
  tiles.rows = needs.rows;
  tiles.unit = channels % 16 == 0 ? 16 : 1;
  std::int64_t least = INT64_MAX;
  for (tiles.width = 4; tiles.width <= tiles.rows; tiles.width += 4) {
    tiles.fit_window();
    // A row's sum is that of the one group whose channels the window is.
    tiles.sums = needs.sums && (tiles.of_group % tiles.width != 0 || tiles.window != tiles.inputs);
    if (tiles.sums && (tiles.width > tiles.rows - GroupTiles::kSums || tiles.most_groups() > GroupTiles::kSums))
      continue;
    const std::int64_t depth = (taps * tiles.window + kStage - 1) / kStage * kStage;
    const std::int64_t cost = tiles.tiles() * depth * (tiles.rows + kCopies);
    if (cost >= least) continue;
    least = cost;
    best = tiles;
  }
  return best;
}

/// Of the weight gradient: blocks of `width` output channels, and the window of input channels that each meets, in
/// slices of sixteen.
inline GroupTiles gradient_tiles(std::int64_t outputs, std::int64_t inputs, std::int64_t groups, std::int32_t width) {
  const auto narrow = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  GroupTiles tiles;
  tiles.columns = narrow(outputs);
  tiles.channels = narrow(inputs);
  tiles.of_group = narrow(outputs / groups);
  tiles.inputs = narrow(inputs / groups);
  tiles.width = width;
  tiles.unit = inputs % 16 == 0 ? 16 : 1;
  tiles.fit_window();
  tiles.window = (tiles.window + 15) / 16 * 16;
  return tiles;
}

}  // namespace bitcycle
