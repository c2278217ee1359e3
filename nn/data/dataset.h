// SPDX-License-Identifier: Apache-2.0
// Image sets in memory, and batches as a pure function of (seed, step): the same on every machine, and
// after every restart. Rules: docs/numerics.md, 8.3.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/data/image_source.h"
#include "sim/ops/augmentation.h"

namespace bitcycle {

struct ImageSet {
  std::int64_t count = 0, height = 32, width = 32, channels = 3, classes = 10;
  std::vector<std::uint8_t> pixels;  // (count, height, width, channels); none of a set that is streamed
  std::vector<std::int32_t> labels;  // (count)
};

/// How pixels become a network's input: x = fl(fl(fl(pixel / 255) - mean) / deviation), by channel.
struct PixelScale {
  std::array<float, 3> mean{0.4914F, 0.4822F, 0.4465F};  // of pixel / 255, as in the paper's code
  std::array<float, 3> deviation{0.2023F, 0.1994F, 0.2010F};
};
/// Of data.mean and data.deviation, or of the data set `data.name`, which need not be at hand.
PixelScale pixel_scale(const DataConfig& data);

struct Corpus;

struct Dataset : PixelScale {
  std::string name;
  std::shared_ptr<const Corpus> text;  // null of images; a text has none
  ImageSet train, test;
  /// What a run should record and a user should see: a file whose checksum is not the official one, ...
  std::vector<std::string> warnings;
  std::string checksum;  // XXH3-128 over pixels and labels of both sets; of a streamed set: image_dataset.h
  /// Where the images come from that are not kept in memory; null where the sets above hold them.
  std::shared_ptr<const ImageSource> source;
};

/// Images of a data set, which need not be at hand.
struct ImageCounts {
  std::int64_t train = 0, test = 0;
};
ImageCounts image_counts(const DataConfig& data);

/// Throws std::runtime_error with file, record and remedy: missing folder or file (with where to get
/// it), wrong size, label out of range, classes that do not fit model.classes.
Dataset load_dataset(const DataConfig& data, std::int64_t classes);
/// Images or a text, as the model needs them.
Dataset load_dataset(const Config& config);

/// Normalisation: x = fl(fl(pixel / 255) - mean) / deviation, each one binary32 operation, from a
/// table of 256 values a channel.
class BatchLoader {
 public:
  BatchLoader(const Dataset& dataset, std::int64_t batch, std::uint64_t seed, bool augment, bool shuffle);

  /// Images of one training step: x (batch, height, width, channels), labels (batch).
  void training_batch(std::int64_t step, float* x, std::int32_t* labels);
  /// Test images first..first+count-1, not augmented.
  void test_batch(std::int64_t first, std::int64_t count, float* x, std::int32_t* labels) const;
  /// The same as indices into the set, for libraries that make batches themselves: indices (batch).
  void training_indices(std::int64_t step, ImageIndex* indices);
  /// x of so many pixels, (count, 3).
  void normalise(const std::uint8_t* pixels, std::int64_t count, float* x) const;
  /// Value of every pixel, (3, 256).
  const std::array<std::array<float, 256>, 3>& table() const { return table_; }
  /// Augmentation is drawn for epochs from this one on; 0 until it is called.
  void set_first_epoch(std::uint32_t epoch) { first_epoch_ = epoch; }
  /// Epoch that a step's first image belongs to.
  std::int64_t epoch_of(std::int64_t step) const;

 private:
  const std::vector<std::uint32_t>& order_of(std::int64_t epoch);

  const Dataset& dataset_;
  std::int64_t batch_;
  std::uint64_t seed_;
  bool augment_;
  std::uint32_t first_epoch_ = 0;
  bool shuffle_;
  std::array<std::array<float, 256>, 3> table_{};
  std::int64_t cached_epoch_[2] = {-1, -1};
  std::vector<std::uint32_t> cached_order_[2];
};

}  // namespace bitcycle
