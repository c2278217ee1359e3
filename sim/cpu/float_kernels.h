// SPDX-License-Identifier: Apache-2.0
// Products of binary32 numbers in the written order (docs/numerics.md, 6.2), for kernels that choose their own tiles.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// Lanes of a panel of packed weights; the last panel may have half as many.
constexpr std::int64_t kPanelLanes = 32;

/// out[pixel][lane] = sum of fma from +0 over taps and channels, weights[tap][channel][lane] * x, of any list of pixels
/// that have the same taps.
struct FloatProductPixels {
  const float* x = nullptr;
  const std::int64_t* from = nullptr;  // (pixels) elements from x to a pixel's origin
  std::int64_t pixels = 0;
  std::int64_t taps = 0;
  const std::int64_t* offsets = nullptr;      // (taps) elements from a pixel's origin
  const std::int64_t* weight_rows = nullptr;  // (taps) rows of a panel
  std::int64_t channels = 0;                  // of a tap
  const float* weights = nullptr;             // (panels, rows, lanes of a panel)
  std::int64_t rows = 0;                      // of a panel: all taps and channels
  std::int64_t lanes = 0;                     // output channels
  float* out = nullptr;
  const std::int64_t* to = nullptr;  // (pixels) elements from out to a pixel's lanes
};

/// One image's share of a block of the weight gradient: sums[channel][lane] += rint(fl(chain * scale)), where chain is
/// the sum of fma from +0 over rows and pixels, x[channel] * g[lane].
struct FloatGradientBlock {
  const float* x = nullptr;  // x[row * x_row + pixel * x_step + channel]
  std::int64_t x_row = 0, x_step = 0;
  const float* g = nullptr;  // g[row * g_row + pixel * g_step + lane]
  std::int64_t g_row = 0, g_step = 0;
  std::int64_t rows = 0, pixels = 0, channels = 0, lanes = 0;
  float* packed = nullptr;  // float_gradient_memory() elements
  float scale = 0.0F;
  std::int64_t* sums = nullptr;  // (channels, lanes_for(lanes))
};

/// Elements that a block packs both operands into.
constexpr std::int64_t float_gradient_memory(std::int64_t positions, std::int64_t channels, std::int64_t lanes) {
  return positions * (channels + lanes + 2 * kPanelLanes);
}

}  // namespace bitcycle::cpu
