// SPDX-License-Identifier: Apache-2.0
#include "nn/data/crop.h"

#include <algorithm>
#include <cmath>

#include "sim/number/elementary.h"
#include "sim/number/philox.h"
#include "sim/ops/augmentation.h"

namespace bitcycle {
namespace {

constexpr std::uint32_t kTries = 10;
constexpr double kSmallestArea = 0.08;

std::int64_t to_nearest_even(double value) { return static_cast<std::int64_t>(std::nearbyint(value)); }
double unit(std::uint32_t word) { return static_cast<double>(word) * 0x1p-32; }

/// The largest box in the middle whose ratio is allowed.
PixelBox central_box(std::int64_t height, std::int64_t width) {
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  PixelBox box{0, 0, height, width};
  if (ratio < 3.0 / 4.0) {
    box.height = std::min(height, to_nearest_even(static_cast<double>(width) / (3.0 / 4.0)));
  } else if (ratio > 4.0 / 3.0) {
    box.width = std::min(width, to_nearest_even(static_cast<double>(height) * (4.0 / 3.0)));
  }
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

PixelBox random_box(std::int64_t height, std::int64_t width, std::uint64_t seed, std::uint32_t epoch,
                    std::uint64_t image) {
  const double area = static_cast<double>(height) * static_cast<double>(width);
  const double low = log_f64(3.0 / 4.0), high = log_f64(4.0 / 3.0);
  for (std::uint32_t attempt = 1; attempt <= kTries; ++attempt) {
    const PhiloxBlock block = philox_block(philox_stream(seed, epoch, RandomPurpose::kAugmentation, attempt), image);
    const double target = area * (kSmallestArea + unit(block.word[0]) * (1.0 - kSmallestArea));
    const double ratio = exp_f64(low + unit(block.word[1]) * (high - low));
    const std::int64_t w = to_nearest_even(std::sqrt(target * ratio)), h = to_nearest_even(std::sqrt(target / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    return {static_cast<std::int64_t>(bounded(block.word[2], static_cast<std::uint32_t>(height - h + 1))),
            static_cast<std::int64_t>(bounded(block.word[3], static_cast<std::uint32_t>(width - w + 1))), h, w};
  }
  return central_box(height, width);
}

}  // namespace

CropPlan centre_crop(std::int64_t height, std::int64_t width, std::int64_t resize, std::int64_t size) {
  CropPlan plan;
  plan.box = {0, 0, height, width};
  const std::int64_t shorter = std::min(height, width), longer = std::max(height, width);
  // int(resize * long / short) in binary64, as the division of integers rounds there.
  const auto other = static_cast<std::int64_t>(static_cast<double>(resize * longer) / static_cast<double>(shorter));
  plan.height = height <= width ? resize : other;
  plan.width = height <= width ? other : resize;
  plan.size = size;
  plan.top = to_nearest_even(static_cast<double>(plan.height - size) / 2.0);
  plan.left = to_nearest_even(static_cast<double>(plan.width - size) / 2.0);
  return plan;
}

CropPlan random_resized_crop(std::int64_t height, std::int64_t width, std::int64_t size, std::uint64_t seed,
                             std::uint32_t epoch, std::uint64_t image) {
  CropPlan plan;
  plan.box = random_box(height, width, seed, epoch, image);
  plan.height = plan.width = plan.size = size;
  plan.flip = augmentation_of(seed, epoch, image).flip;
  return plan;
}

PixelBox CropRenderer::begin(const CropPlan& plan) {
  plan_ = plan;
  rows_ = resample_axis(plan.box.height, plan.height, plan.top, plan.size);
  columns_ = resample_axis(plan.box.width, plan.width, plan.left, plan.size);
  between_.resize(static_cast<std::size_t>((rows_.end - rows_.lowest) * plan.size * 3));
  return {plan.box.top + rows_.lowest, plan.box.left + columns_.lowest, rows_.end - rows_.lowest,
          columns_.end - columns_.lowest};
}

void CropRenderer::add_row(std::int64_t y, const std::uint8_t* pixels) {
  const std::int64_t row = y - plan_.box.top - rows_.lowest;
  resample_row(columns_, pixels, between_.data() + row * plan_.size * 3);
}

void CropRenderer::finish(std::uint8_t* image) {
  resample_columns(rows_, between_.data(), 3 * plan_.size, image);
  if (!plan_.flip) return;
  for (std::int64_t y = 0; y < plan_.size; ++y) {
    std::uint8_t* left = image + 3 * y * plan_.size;
    for (std::uint8_t* right = left + 3 * (plan_.size - 1); left < right; left += 3, right -= 3) {
      std::swap_ranges(left, left + 3, right);
    }
  }
}

}  // namespace bitcycle
