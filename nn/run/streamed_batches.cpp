// SPDX-License-Identifier: Apache-2.0
#include "nn/run/streamed_batches.h"

#include <algorithm>

namespace bitcycle {
namespace {

constexpr std::int64_t kAhead = 2;  // batches beside the one that a step uses

}  // namespace

StreamedBatches::StreamedBatches(const Config& config, const Dataset& dataset, BatchLoader& loader,
                                 std::int64_t evaluation_batch)
    : config_(config),
      dataset_(dataset),
      loader_(loader),
      evaluation_batch_(evaluation_batch),
      image_bytes_(dataset.train.height * dataset.train.width * 3),
      batches_(config.train.steps),
      images_(static_cast<std::size_t>(config.train.batch)) {}

const std::uint8_t* StreamedBatches::training(std::int64_t step, std::int32_t* labels) {
  const std::int64_t batch = config_.train.batch;
  if (!training_) {
    const auto images_of = [this, batch](std::int64_t number, std::vector<ImageIndex>& images) {
      if (number >= batches_) return;
      images.resize(static_cast<std::size_t>(batch));
      loader_.training_indices(number, images.data());
    };
    training_.emplace(*dataset_.source, AugmentRules{config_.data.augment, config_.train.seed}, ImagePart::kTrain,
                      images_of, batch, image_bytes_, worker_count(config_.data.workers, config_.execution.threads),
                      kAhead);
  }
  const std::uint8_t* pixels = training_->get(step);
  loader_.training_indices(step, images_.data());
  for (std::size_t i = 0; i < images_.size(); ++i) labels[i] = dataset_.train.labels[images_[i].image];
  return pixels;
}

const std::uint8_t* StreamedBatches::test(std::int64_t first, std::int64_t count, std::int32_t* labels) {
  if (!test_) {
    const auto images_of = [this](std::int64_t number, std::vector<ImageIndex>& images) {
      const std::int64_t begin = number * evaluation_batch_;
      const std::int64_t end = std::min(begin + evaluation_batch_, dataset_.test.count);
      for (std::int64_t i = begin; i < end; ++i) images.push_back({static_cast<std::uint32_t>(i), 0});
    };
    test_.emplace(*dataset_.source, AugmentRules{}, ImagePart::kTest, images_of, evaluation_batch_, image_bytes_,
                  worker_count(config_.data.workers, config_.execution.threads), kAhead);
  }
  std::copy_n(dataset_.test.labels.begin() + static_cast<std::ptrdiff_t>(first), count, labels);
  return test_->get(first / evaluation_batch_);
}

}  // namespace bitcycle
