// SPDX-License-Identifier: Apache-2.0
// The batches of a run over a set that does not lie in memory: of its training steps and of one evaluation at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "nn/config/config.h"
#include "nn/data/batch_stream.h"
#include "nn/data/dataset.h"

namespace bitcycle {

class StreamedBatches {
 public:
  /// Both must live on; `loader` orders the training images.
  StreamedBatches(const Config& config, const Dataset& dataset, BatchLoader& loader, std::int64_t evaluation_batch);

  /// Images of a step, (batch, height, width, 3), valid until the next call, and their labels (batch). Throws
  /// DataError.
  const std::uint8_t* training(std::int64_t step, std::int32_t* labels);
  /// Test images first .. first + count - 1, count that of the evaluation's batch but for the last ones.
  const std::uint8_t* test(std::int64_t first, std::int64_t count, std::int32_t* labels);
  /// Training batches 0 .. batches - 1 are asked for again.
  void restart(std::int64_t batches) {
    training_.reset();
    batches_ = batches;
  }
  /// The evaluation is over; its threads end.
  void end_test() { test_.reset(); }
  std::int64_t image_bytes() const { return image_bytes_; }

 private:
  const Config& config_;
  const Dataset& dataset_;
  BatchLoader& loader_;
  const std::int64_t evaluation_batch_, image_bytes_;
  std::int64_t batches_;            // of the training
  std::vector<ImageIndex> images_;  // of the step at hand
  std::optional<BatchStream> training_, test_;
};

}  // namespace bitcycle
