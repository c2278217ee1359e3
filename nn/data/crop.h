// SPDX-License-Identifier: Apache-2.0
// How a photograph becomes an image of a network: which box of it, scaled to which size, and which part of that.
// Rules: docs/numerics.md, 8.5. All of it is a function of (seed, epoch, image) and of the photograph's size.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/data/jpeg.h"
#include "nn/data/resample.h"

namespace bitcycle {

/// The box of a photograph is cut out first, then scaled to height x width; the image is the square of `size` pixels
/// of that from row `top` and column `left` on, mirrored where `flip` is set.
struct CropPlan {
  PixelBox box;
  std::int64_t height = 0, width = 0;
  std::int64_t top = 0, left = 0, size = 0;
  bool flip = false;
};

/// Evaluation: the short side becomes `resize`, the other int(resize * long / short); the centre, from
/// round((n - size) / 2) on, half to even. size <= resize.
CropPlan centre_crop(std::int64_t height, std::int64_t width, std::int64_t resize, std::int64_t size);
/// Training: a box of 8 to 100 % of the area and of a ratio of 3/4 to 4/3, and the flip.
CropPlan random_resized_crop(std::int64_t height, std::int64_t width, std::int64_t size, std::uint64_t seed,
                             std::uint32_t epoch, std::uint64_t image);

/// Makes images from rows of photographs; keeps its memory.
class CropRenderer {
 public:
  /// Rows and columns of the photograph that are needed.
  PixelBox begin(const CropPlan& plan);
  /// Row y of the photograph, from the first needed column on; rows in order.
  void add_row(std::int64_t y, const std::uint8_t* pixels);
  /// The image, (size, size, 3), when all rows were given.
  void finish(std::uint8_t* image);

 private:
  CropPlan plan_;
  ResampleAxis rows_, columns_;
  std::vector<std::uint8_t> between_;  // rows that were scaled along the row
};

}  // namespace bitcycle
