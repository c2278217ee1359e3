// SPDX-License-Identifier: Apache-2.0
// Batches: a shuffled concatenation of epochs, cropped, flipped and normalised (docs/numerics.md, 8.3).
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "nn/data/dataset.h"
#include "sim/number/philox.h"
#include "sim/ops/augmentation.h"

namespace bitcycle {
BatchLoader::BatchLoader(const Dataset& dataset, std::int64_t batch, std::uint64_t seed, bool augment, bool shuffle)
    : dataset_(dataset), batch_(batch), seed_(seed), augment_(augment), shuffle_(shuffle) {
  if (batch < 1) throw std::invalid_argument("a batch of " + std::to_string(batch) + " images; it must be at least 1");
  if (dataset.train.count < 1) throw std::invalid_argument("the training set is empty");
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t pixel = 0; pixel < 256; ++pixel) {
      const float unit = static_cast<float>(pixel) / 255.0F;
      table_[c][pixel] = (unit - dataset.mean[c]) / dataset.deviation[c];
    }
  }
  for (auto& order : cached_order_) order.resize(static_cast<std::size_t>(dataset.train.count));
}

std::int64_t BatchLoader::epoch_of(std::int64_t step) const { return step * batch_ / dataset_.train.count; }

const std::vector<std::uint32_t>& BatchLoader::order_of(std::int64_t epoch) {
  const auto slot = static_cast<std::size_t>(epoch & 1);
  auto& order = cached_order_[slot];
  if (cached_epoch_[slot] != epoch) {
    std::iota(order.begin(), order.end(), 0U);
    if (shuffle_) {
      const PhiloxStream stream = philox_stream(seed_, static_cast<std::uint32_t>(epoch), RandomPurpose::kShuffle, 0);
      for (std::size_t i = order.size() - 1; i > 0; --i) {
        std::swap(order[i], order[bounded(philox_word(stream, i), static_cast<std::uint32_t>(i + 1))]);
      }
    }
    cached_epoch_[slot] = epoch;
  }
  return order;
}

void BatchLoader::training_batch(std::int64_t step, float* x, std::int32_t* labels) {
  const ImageSet& set = dataset_.train;
  const std::int64_t row = set.width * 3, size = set.height * row;
  for (std::int64_t i = 0; i < batch_; ++i) {
    const std::int64_t position = step * batch_ + i;
    const std::int64_t epoch = position / set.count;
    const std::int64_t image = order_of(epoch)[static_cast<std::size_t>(position % set.count)];
    const std::uint8_t* pixels = set.pixels.data() + image * size;
    labels[i] = set.labels[static_cast<std::size_t>(image)];
    Augmentation augmentation;
    if (augment_) {
      augmentation =
          augmentation_of(seed_, first_epoch_ + static_cast<std::uint32_t>(epoch), static_cast<std::uint64_t>(image));
    }
    float* out = x + i * size;
    for (std::int64_t y = 0; y < set.height; ++y) {
      const std::int64_t from_y = y + augmentation.shift_y;
      const bool row_exists = from_y >= 0 && from_y < set.height;
      for (std::int64_t column = 0; column < set.width; ++column, out += 3) {
        const std::int64_t from_x = (augmentation.flip ? set.width - 1 - column : column) + augmentation.shift_x;
        const bool exists = row_exists && from_x >= 0 && from_x < set.width;
        const std::uint8_t* pixel = pixels + from_y * row + from_x * 3;
        for (std::size_t c = 0; c < 3; ++c) out[c] = table_[c][exists ? pixel[c] : 0];
      }
    }
  }
}

void BatchLoader::normalise(const std::uint8_t* pixels, std::int64_t count, float* x) const {
  for (std::int64_t i = 0; i < count; ++i, pixels += 3, x += 3) {
    for (std::size_t c = 0; c < 3; ++c) x[c] = table_[c][pixels[c]];
  }
}

void BatchLoader::training_indices(std::int64_t step, ImageIndex* indices) {
  for (std::int64_t i = 0; i < batch_; ++i) {
    const std::int64_t position = step * batch_ + i, epoch = position / dataset_.train.count;
    indices[i] = {order_of(epoch)[static_cast<std::size_t>(position % dataset_.train.count)],
                  first_epoch_ + static_cast<std::uint32_t>(epoch)};
  }
}

void BatchLoader::test_batch(std::int64_t first, std::int64_t count, float* x, std::int32_t* labels) const {
  const ImageSet& set = dataset_.test;
  const std::int64_t size = set.height * set.width * 3;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint8_t* pixels = set.pixels.data() + (first + i) * size;
    labels[i] = set.labels[static_cast<std::size_t>(first + i)];
    for (std::int64_t e = 0; e < size; ++e) x[i * size + e] = table_[static_cast<std::size_t>(e % 3)][pixels[e]];
  }
}

}  // namespace bitcycle
