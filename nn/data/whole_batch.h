// SPDX-License-Identifier: Apache-2.0
// A training's batch holds an image at most once.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "nn/data/dataset.h"

namespace bitcycle {

/// Throws std::invalid_argument that names both numbers where a batch is larger than the set of training images.
inline void require_whole_batch(const Dataset& dataset, std::int64_t batch) {
  const std::int64_t images = dataset.train.count;
  if (batch <= images) return;
  const std::string count = std::to_string(images);
  throw std::invalid_argument("train.batch is " + std::to_string(batch) + ", but the training set '" + dataset.name +
                              "' has " + count + (images == 1 ? " image" : " images") +
                              "; a batch may not hold an image twice: give train.batch " + count + " or less");
}

}  // namespace bitcycle
