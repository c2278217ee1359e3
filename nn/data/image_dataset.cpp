// SPDX-License-Identifier: Apache-2.0
#include "nn/data/image_dataset.h"

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "nn/data/folder_source.h"
#include "nn/data/image_folder.h"
#include "nn/data/jpeg.h"
#include "nn/data/pack.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

/// Throws where more images are asked for than there are.
bool is_part(std::int64_t images, std::int64_t count, const char* key) {
  if (images > count) {
    throw std::runtime_error(std::string(key) + " is " + std::to_string(images) + ", the set has " +
                             std::to_string(count) + " images");
  }
  return images > 0;
}

ImageSet streamed_set(std::vector<std::int32_t> labels, std::int64_t classes, std::int64_t size) {
  ImageSet set;
  set.count = static_cast<std::int64_t>(labels.size());
  set.height = set.width = size;
  set.classes = classes;
  set.labels = std::move(labels);
  return set;
}

Dataset load_folder(const DataConfig& data) {
  ImageFolder folder = read_image_folder(data.path);
  if (is_part(data.train_images, folder.train.count(), "data.train_images")) folder.train.keep(data.train_images);
  if (is_part(data.test_images, folder.test.count(), "data.test_images")) folder.test.keep(data.test_images);
  Dataset dataset;
  dataset.warnings = folder.warnings;
  const auto classes = static_cast<std::int64_t>(folder.classes.size());
  dataset.train = streamed_set(folder.train.labels(), classes, data.image_size);
  dataset.test = streamed_set(folder.test.labels(), classes, data.image_size);
  const std::string decoder = jpeg_decoder();
  RootDigest root;
  root.add("decoder", digest_of(decoder.data(), decoder.size()));
  root.add("test", parse_digest(folder.test.digest()));
  root.add("train", parse_digest(folder.train.digest()));
  dataset.checksum = to_text(root.value());
  dataset.source = folder_source(std::move(folder), data.image_size, data.resize);
  return dataset;
}

Dataset load_pack(const DataConfig& data) {
  PackIndex index = read_pack_index(data.path);
  if (index.resize != data.resize) {
    throw std::runtime_error("the pictures of '" + data.path + "' have a short side of " +
                             std::to_string(index.resize) + ", and data.resize is " + std::to_string(data.resize) +
                             ": set data.resize to that, or pack the folder with --resize " +
                             std::to_string(data.resize));
  }
  const auto keep = [](std::vector<PackEntry>& entries, std::int64_t images, const char* key) {
    const auto count = static_cast<std::int64_t>(entries.size());
    if (!is_part(images, count, key)) return;
    for (std::int64_t i = 0; i < images; ++i) {
      entries[static_cast<std::size_t>(i)] = entries[static_cast<std::size_t>(i * count / images)];
    }
    entries.resize(static_cast<std::size_t>(images));
  };
  keep(index.train, data.train_images, "data.train_images");
  keep(index.test, data.test_images, "data.test_images");
  const auto labels_of = [](const std::vector<PackEntry>& entries) {
    std::vector<std::int32_t> labels;
    for (const PackEntry& entry : entries) labels.push_back(static_cast<std::int32_t>(entry.label));
    return labels;
  };
  Dataset dataset;
  const auto classes = static_cast<std::int64_t>(index.classes.size());
  dataset.train = streamed_set(labels_of(index.train), classes, data.image_size);
  dataset.test = streamed_set(labels_of(index.test), classes, data.image_size);
  dataset.checksum = to_text(index.digest);
  dataset.source = pack_source(data.path, std::move(index), data.image_size);
  return dataset;
}

}  // namespace

Dataset load_image_dataset(const DataConfig& data) {
  if (data.path.empty()) {
    throw std::runtime_error(
        "data.path is not given: data 'imagefolder' needs a folder that holds train/ and val/, or a pack of one, for "
        "example --set data.path=imagenet");
  }
  Dataset dataset;
  if (std::filesystem::is_directory(data.path)) {
    dataset = load_folder(data);
  } else if (std::filesystem::is_regular_file(data.path)) {
    dataset = load_pack(data);
  } else {
    throw std::runtime_error("data.path '" + data.path + "' is no folder and no pack");
  }
  dataset.name = data.name;
  return dataset;
}

}  // namespace bitcycle
