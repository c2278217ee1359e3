// SPDX-License-Identifier: Apache-2.0
// The weight gradient of 3 x 3 taps and stride 1 by minimal filtering (winograd_kernels.h), of single bytes: a tile of
// 2 x 2 gradients takes 16 products for the 9 taps instead of 36. Two neighbouring tiles of a row are a pair of words,
// so that one multiplication adds both.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle::cpu {

class WinogradGradient {
 public:
  /// Longest reduction of codes times code - 128 whose results fit a quarter of 32 bits.
  static constexpr std::int64_t kMaxPositions = 16448;

  WinogradGradient() = default;
  /// Pitches: codes from one pixel to the next.
  WinogradGradient(const ConvShape& shape, std::int64_t x_lanes, std::int64_t x_pitch, std::int64_t g_lanes,
                   std::int64_t g_pitch);
  static bool takes(const KernelTable& kernels, const ConvShape& shape);

  /// Images that one call of add() should be given.
  std::int64_t images_at_once() const;

  /// One thread's memory.
  struct State {
    Scratch<char> x, g;                          // (images, column in a tile, rows, pairs of tiles, lanes, 4 bytes)
    Scratch<char> x_frequencies, g_frequencies;  // (frequencies, images, rows of tiles, pairs of tiles, lanes, 4 bytes)
    Scratch<char> present;
    Scratch<std::int32_t> products;  // (frequencies, g blocks, x lanes, 16)
    Scratch<std::int32_t*> targets;
    std::int64_t positions = 0;  // that the products hold

    template <typename Visit>
    static void each_scratch(State& a, const State& b, const Visit& visit) {
      visit(a.x, b.x);
      visit(a.g, b.g);
      visit(a.x_frequencies, b.x_frequencies);
      visit(a.g_frequencies, b.g_frequencies);
      visit(a.present, b.present);
      visit(a.products, b.products);
      visit(a.targets, b.targets);
    }
  };

  void clear(State& state) const;
  /// `count` images of codes: their products, for which there must be room (fold()), and sums of code - 128 of x
  /// (taps, x lanes) and of codes of g (taps, g lanes) over the outputs for which the tap exists.
  void add(const KernelTable& kernels, const std::uint8_t* x, const std::uint8_t* g, std::int64_t count, State& state,
           std::int32_t* sum_x, std::int32_t* sum_g) const;
  /// Adds the taps of what was added up to sums (taps, g blocks, x lanes, 16), and forgets it.
  void fold(State& state, std::int32_t* sums) const;

 private:
  void stage_x(const KernelTable& kernels, const std::uint8_t* x, std::int64_t image, State& state,
               std::int32_t* sum_x) const;
  void stage_g(const KernelTable& kernels, const std::uint8_t* g, std::int64_t image, State& state,
               std::int32_t* sum_g) const;

  ConvShape shape_;
  std::vector<TapRectangle> valid_;  // (taps)
  std::int64_t x_lanes_ = 0, x_pitch_ = 0, g_lanes_ = 0, g_pitch_ = 0;
  std::int64_t tile_rows_ = 0, tile_columns_ = 0, pairs_ = 0;                    // pairs of tiles in a row of them
  std::int64_t x_rows_ = 0, x_row_ = 0, x_image_ = 0, g_row_ = 0, g_image_ = 0;  // bytes but for x_rows_
};

}  // namespace bitcycle::cpu
