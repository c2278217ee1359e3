// SPDX-License-Identifier: Apache-2.0
// Records of Winograd's minimal filtering F(2x2, 3x3) of integers: a tile of 2 x 2 outputs of 3 x 3 taps takes 16
// products instead of 36. With
//
//       1  0 -1  0          2  0  0
//   B = 0  1  1  0      G = 1  1  1      A = 1  1  1  0
//       0 -1  1  0          1 -1  1          0  1 -1 -1
//       0  1  0 -1          0  0  2
//
// the tile is A ((G w G') * (B x B')) A' / 4, w its taps, x the 4 x 4 operand under it, * element by element, summed
// over channels before A. Everything is an integer: elements of B x B' and G w G' are words, sums are taken modulo
// 2^32, and the division by 4 is exact. An element of the 4 x 4 is called a frequency.
//
// The weight gradient is F(3x3, 2x2): C ((H g H') * (B x B')) C' / 4, g the 2 x 2 gradients of a tile, summed over
// tiles before C, with
//
//       2  0
//   H = 1  1      C = 1  1  1  0
//       1 -1          0  1 -1  0
//       0  2          0  1  1 -1
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

constexpr int kFrequencies = 16;

/// G w G' of packed weights, element by element.
struct WinogradWeights {
  const char* tap[9] = {};  // words, row by row of the kernel
  std::int64_t bytes = 0;   // of a tap, a multiple of 64
  char* out = nullptr;
  std::int64_t pitch = 0;  // bytes from one frequency to the next
};

/// B x B' of one row of tiles of the staged operand.
struct WinogradInput {
  const char* x = nullptr;  // the first tile's first element, of the first group of channels
  std::int64_t row_pitch = 0, plane = 0, groups = 0, tiles = 0;
  char* out = nullptr;                    // (groups, tiles, 4 bytes) a frequency; up to 8 tiles more are written
  std::int64_t out_plane = 0, pitch = 0;  // bytes from group to group and from frequency to frequency
};

/// A m A' / 4 of one row of tiles.
struct WinogradOutput {
  const std::int32_t* products = nullptr;  // (tiles, lanes) a frequency
  std::int64_t pitch = 0;                  // from frequency to frequency
  std::int64_t tiles = 0, lanes = 0;
  std::int32_t* out = nullptr;  // (2 rows, 2 tiles, lanes)
  std::int64_t row_pitch = 0;   // from row to row
};

/// B x B' of rows of words, or H g H': column j of the tiles and its row r lie at from + j * column_pitch + r *
/// row_pitch. Element by element; up to a vector more is written.
struct WinogradColumns {
  const char* from = nullptr;
  std::int64_t row_pitch = 0, column_pitch = 0, bytes = 0;
  char* out = nullptr;
  std::int64_t pitch = 0;  // from frequency to frequency
};

/// A distance in bytes of two frequencies of `bytes` each: it leaves room for a vector more, and no two of them fall
/// on the same lines of a cache.
constexpr std::int64_t frequency_pitch(std::int64_t bytes) { return (bytes + 127) / 128 * 128 + 64; }

/// Null where products are not made of words.
struct WinogradKernels {
  void (*weights)(const WinogradWeights&) = nullptr;
  void (*input)(const WinogradInput&) = nullptr;
  void (*output)(const WinogradOutput&) = nullptr;
  void (*gradient_x)(const WinogradColumns&) = nullptr;
  void (*gradient_g)(const WinogradColumns&) = nullptr;
};

}  // namespace bitcycle::cpu
