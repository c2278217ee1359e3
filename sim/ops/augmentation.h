// SPDX-License-Identifier: Apache-2.0
// Crop and flip of a training image, a function of (seed, epoch, image) (docs/numerics.md, 8.3).
#pragma once

#include <cstdint>

#include "sim/number/host_device.h"
#include "sim/number/philox.h"

namespace bitcycle {

constexpr std::int32_t kCropPadding = 4;

/// An image of a set, and the epoch that its augmentation is drawn for.
struct ImageIndex {
  std::uint32_t image = 0, epoch = 0;
};

/// Pixel (y, x) of the result is pixel (y + shift_y, (flip ? width - 1 - x : x) + shift_x) of the image, 0 outside it.
struct Augmentation {
  std::int32_t shift_y = 0, shift_x = 0;
  bool flip = false;
};

BITCYCLE_HD Augmentation augmentation_of(std::uint64_t seed, std::uint32_t epoch, std::uint64_t image) {
  const PhiloxBlock block = philox_block(philox_stream(seed, epoch, RandomPurpose::kAugmentation, 0), image);
  Augmentation a;
  a.shift_y = static_cast<std::int32_t>(bounded(block.word[0], 2 * kCropPadding + 1)) - kCropPadding;
  a.shift_x = static_cast<std::int32_t>(bounded(block.word[1], 2 * kCropPadding + 1)) - kCropPadding;
  a.flip = bounded(block.word[2], 2) == 1;
  return a;
}

}  // namespace bitcycle
