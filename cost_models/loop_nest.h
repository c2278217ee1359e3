// SPDX-License-Identifier: Apache-2.0
// LoopNest: a product as a nest of loops over the levels of a memory hierarchy, and how many words it moves at each
// level.
//
// A product is seven loops; its operands are the three tensors of a convolution, whichever pass it is:
//   inputs (images, in_channels, rows, columns)  weights (in_channels, out_channels, kernel)  outputs (images,
//   out_channels, out_rows, out_columns)
// Rules, as Timeloop counts (docs/cost-models.md, Hierarchies):
//   * A level holds a tile: what its own loops and those inside it touch.
//   * A tile is fetched again when a loop outside it has made a step that changes it. A step of the innermost loop
//   outside
//     fetches only what the tile did not hold; a step of another one the whole tile.
//   * Elements of an array that need the same words get them by one read above; results of elements that differ in a
//     reduction loop are added on their way up.
//   * A result tile that leaves unfinished comes back later; its first visit reads nothing.
//   * A multiply-accumulate reads both operands and the sum, but for the first, and writes the sum.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

enum Loop : std::uint8_t {
  kImages,
  kOutChannels,
  kInChannels,
  kOutRows,
  kOutColumns,
  kKernelRows,
  kKernelColumns,
  kLoops
};
/// images, out_channels, in_channels, out_rows, out_columns, kernel_rows, kernel_columns.
const std::vector<std::string>& loop_names();

using Extents = std::array<double, kLoops>;  // by Loop

enum ConvTensor : std::uint8_t { kInputTensor, kWeightTensor, kOutputTensor };

/// What the operands of a product are.
struct ProductLayout {
  std::array<ConvTensor, 3> tensor{kInputTensor, kWeightTensor, kOutputTensor};  // of lhs, rhs, out
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t dilation_height = 1, dilation_width = 1;
  double density = 1.0;  // share of the windows' elements that are in memory: not padding, not inserted zeros
  bool indexes(std::size_t role, Loop loop) const;
  /// Words of a tile of the role's tensor.
  double words(std::size_t role, const Extents& tile) const;
};

struct NestLoop {
  Loop loop = kImages;
  double trips = 1.0;  // may be broken: the mean of ragged tiles
  bool spatial = false;
};

/// Loops of a level, the outermost first. Level 0 is DRAM, which holds everything.
struct NestLevel {
  std::array<bool, 3> holds{true, true, true};  // lhs, rhs, out
  std::vector<NestLoop> loops;
};
using LoopNest = std::vector<NestLevel>;
constexpr std::size_t kMostNestLevels = 13;

/// Words of one operand at one level, of each instance.
struct LevelCounts {
  double reads = 0.0;    // towards the array
  double fills = 0.0;    // from the level above
  double updates = 0.0;  // results written from below
};

struct NestCounts {
  template <typename T>
  using ByLevel = std::array<T, kMostNestLevels + 1>;
  ByLevel<std::array<LevelCounts, 3>> levels{};  // by role
  ByLevel<double> instances{};                   // of the level that are in use
  std::array<ByLevel<double>, 3> transfers{};    // words that pass a level with spatial loops, all of it, by role
  double cycles = 0.0;                           // steps in time, whole trips
};

/// Tile of a level: extents of its loops and of those inside.
Extents tile_of(const LoopNest& nest, std::size_t level);
/// Throws std::invalid_argument beyond kMostNestLevels.
NestCounts count_words(const LoopNest& nest, const ProductLayout& layout);

}  // namespace bitcycle
