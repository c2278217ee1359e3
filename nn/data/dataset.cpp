// SPDX-License-Identifier: Apache-2.0
#include "nn/data/dataset.h"

#include <stdexcept>

#include "nn/data/cifar.h"
#include "nn/data/corpus.h"
#include "nn/data/image_dataset.h"
#include "nn/data/synthetic.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

void keep_first(ImageSet& set, std::int64_t images, const std::string& key) {
  if (images == 0) return;
  if (images > set.count) {
    throw std::runtime_error(key + " is " + std::to_string(images) + ", the set has " + std::to_string(set.count) +
                             " images");
  }
  set.count = images;
  set.labels.resize(static_cast<std::size_t>(images));
  set.pixels.resize(static_cast<std::size_t>(images * set.height * set.width * set.channels));
}

std::string checksum_of(const Dataset& dataset) {
  RootDigest root;
  const auto add = [&](const std::string& name, const ImageSet& set) {
    root.add(name + ".labels", digest_of(set.labels.data(), set.labels.size() * sizeof(std::int32_t)));
    root.add(name + ".pixels", digest_of(set.pixels.data(), set.pixels.size()));
  };
  add("test", dataset.test);
  add("train", dataset.train);
  return to_text(root.value());
}

constexpr std::int64_t kImageNetTrainImages = 1281167, kImageNetTestImages = 50000;

}  // namespace

ImageCounts image_counts(const DataConfig& data) {
  if (data.name == "imagefolder") {
    return {data.train_images > 0 ? data.train_images : kImageNetTrainImages,
            data.test_images > 0 ? data.test_images : kImageNetTestImages};
  }
  const bool synthetic = data.name == "synthetic";
  return {data.train_images > 0 ? data.train_images : (synthetic ? kSyntheticTrainImages : 50000),
          data.test_images > 0 ? data.test_images : (synthetic ? kSyntheticTestImages : 10000)};
}

PixelScale pixel_scale(const DataConfig& data) {
  PixelScale scale;
  if (data.name == "synthetic") scale = {{0.5F, 0.5F, 0.5F}, {0.2F, 0.2F, 0.2F}};
  if (data.name == "imagefolder") scale = {{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
  for (std::size_t c = 0; c < 3; ++c) {
    if (!data.mean.empty()) scale.mean[c] = static_cast<float>(data.mean.at(c));
    if (!data.deviation.empty()) scale.deviation[c] = static_cast<float>(data.deviation.at(c));
  }
  return scale;
}

Dataset load_dataset(const DataConfig& data, std::int64_t classes) {
  Dataset dataset;
  if (data.name == "synthetic") {
    dataset.name = data.name;
    dataset.train = draw_synthetic(data.train_images > 0 ? data.train_images : kSyntheticTrainImages, false);
    dataset.test = draw_synthetic(data.test_images > 0 ? data.test_images : kSyntheticTestImages, true);
  } else if (data.name == "cifar10" || data.name == "cifar100") {
    dataset = load_cifar(data.path, data.name);
    keep_first(dataset.train, data.train_images, "data.train_images");
    keep_first(dataset.test, data.test_images, "data.test_images");
  } else if (data.name == "imagefolder") {
    dataset = load_image_dataset(data);
  } else {
    throw std::runtime_error("data.name is '" + data.name +
                             "'; the data sets are synthetic, cifar10, cifar100, imagefolder");
  }
  if (dataset.train.classes != classes) {
    throw std::runtime_error("model.classes is " + std::to_string(classes) + ", data '" + data.name + "' has " +
                             std::to_string(dataset.train.classes) + " classes: set model.classes to that");
  }
  static_cast<PixelScale&>(dataset) = pixel_scale(data);
  if (dataset.source == nullptr) dataset.checksum = checksum_of(dataset);
  return dataset;
}

Dataset load_dataset(const Config& config) {
  if (!is_text(config.data.name)) return load_dataset(config.data, config.model.classes);
  Dataset dataset;
  dataset.name = config.data.name;
  auto corpus = std::make_shared<Corpus>(load_corpus(config.data, config.model.vocabulary, dataset.warnings));
  dataset.checksum = corpus->checksum;
  dataset.text = std::move(corpus);
  return dataset;
}

}  // namespace bitcycle
