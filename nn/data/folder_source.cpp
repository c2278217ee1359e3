// SPDX-License-Identifier: Apache-2.0
#include "nn/data/folder_source.h"

#include <string>

#include "nn/data/crop.h"
#include "nn/data/jpeg.h"
#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace {

class FolderSource final : public ImageSource {
 public:
  FolderSource(ImageFolder folder, std::int64_t size, std::int64_t resize)
      : folder_(std::move(folder)), size_(size), resize_(resize) {}
  std::unique_ptr<Reader> reader(const AugmentRules& rules) const override;

  const ImageFolder folder_;
  const std::int64_t size_, resize_;
};

class FolderReader final : public ImageSource::Reader {
 public:
  FolderReader(const FolderSource& source, const AugmentRules& rules) : source_(source), rules_(rules) {}

  void read(ImagePart part, std::int64_t image, std::uint32_t epoch, std::uint8_t* pixels) override {
    const bool train = part == ImagePart::kTrain;
    const FolderIndex& index = train ? source_.folder_.train : source_.folder_.test;
    const std::string path = index.path(image).string();
    try {
      const std::string bytes = read_file(path);
      const JpegInfo& info = jpeg_.open(bytes, "'" + path + "'");
      const CropPlan plan = train && rules_.augment
                                ? random_resized_crop(info.height, info.width, source_.size_, rules_.seed, epoch,
                                                      static_cast<std::uint64_t>(image))
                                : centre_crop(info.height, info.width, source_.resize_, source_.size_);
      jpeg_.rows(renderer_.begin(plan), [&](std::int64_t y, const std::uint8_t* row) { renderer_.add_row(y, row); });
      renderer_.finish(pixels);
    } catch (const std::runtime_error& error) {
      throw DataError(error.what() + std::string(". `bitcycle data FOLDER` lists every such file"));
    }
  }

 private:
  const FolderSource& source_;
  const AugmentRules rules_;
  JpegReader jpeg_;
  CropRenderer renderer_;
};

std::unique_ptr<ImageSource::Reader> FolderSource::reader(const AugmentRules& rules) const {
  return std::make_unique<FolderReader>(*this, rules);
}

}  // namespace

std::shared_ptr<const ImageSource> folder_source(ImageFolder folder, std::int64_t size, std::int64_t resize) {
  return std::make_shared<FolderSource>(std::move(folder), size, resize);
}

}  // namespace bitcycle
