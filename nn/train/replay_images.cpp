// SPDX-License-Identifier: Apache-2.0
#include "nn/train/replay_images.h"

#include <cstring>

#include "nn/data/crop.h"
#include "nn/data/jpeg.h"
#include "nn/io/atomic_file.h"
#include "nn/io/sha256.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

std::string sha_of(const std::vector<std::uint8_t>& bytes) { return sha256_of(bytes.data(), bytes.size()); }

/// A picture of a case, decoded and rendered.
struct Picture {
  JpegInfo info;
  std::vector<std::uint8_t> pixels;  // (height, width, 3)

  std::vector<std::uint8_t> rendered(const CropPlan& plan) const {
    CropRenderer renderer;
    const PixelBox box = renderer.begin(plan);
    for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
      renderer.add_row(y, pixels.data() + (y * info.width + box.left) * 3);
    }
    std::vector<std::uint8_t> image(static_cast<std::size_t>(plan.size * plan.size * 3));
    renderer.finish(image.data());
    return image;
  }
  /// The whole picture scaled, without a crop.
  std::vector<std::uint8_t> scaled(const CropPlan& plan) const {
    const ResampleAxis columns = resample_axis(info.width, plan.width, 0, plan.width);
    const ResampleAxis rows = resample_axis(info.height, plan.height, 0, plan.height);
    std::vector<std::uint8_t> between(static_cast<std::size_t>(info.height * plan.width * 3));
    std::vector<std::uint8_t> image(static_cast<std::size_t>(plan.height * plan.width * 3));
    for (std::int64_t y = 0; y < info.height; ++y) {
      resample_row(columns, pixels.data() + y * info.width * 3, between.data() + y * plan.width * 3);
    }
    resample_columns(rows, between.data(), plan.width * 3, image.data());
    return image;
  }
};

Picture decoded(std::string_view bytes, const std::string& origin) {
  JpegReader reader;
  Picture picture;
  picture.info = reader.open(bytes, origin);
  const std::int64_t width = picture.info.width;
  picture.pixels.resize(static_cast<std::size_t>(picture.info.height * width * 3));
  reader.rows({0, 0, picture.info.height, width}, [&](std::int64_t y, const std::uint8_t* row) {
    std::memcpy(picture.pixels.data() + y * width * 3, row, static_cast<std::size_t>(width * 3));
  });
  return picture;
}

/// The image of a plan by way of the file, of which no more is decoded than is needed.
std::vector<std::uint8_t> from_file(std::string_view bytes, const std::string& origin, const CropPlan& plan) {
  JpegReader reader;
  reader.open(bytes, origin);
  CropRenderer renderer;
  reader.rows(renderer.begin(plan), [&](std::int64_t y, const std::uint8_t* row) { renderer.add_row(y, row); });
  std::vector<std::uint8_t> image(static_cast<std::size_t>(plan.size * plan.size * 3));
  renderer.finish(image.data());
  return image;
}

}  // namespace

ReplayReport replay_images(const CaseFile& file, const ReplayPaths& paths) {
  ReplayReport report;
  report.kind = "images";
  const std::int64_t size = file.integer("crop", 1, 4096), resize = file.integer("short_side", 1, 4096);
  for (const char* list : {"evaluation", "random_resized_crop"}) {
    const bool evaluation = std::string(list) == "evaluation";
    for (const CaseFile& entry : file.list(list)) {
      const std::string name = entry.text("file");
      ReplayLine line;
      line.name = std::string(list) + " " + name;
      const bool of_set = name.find('/') != std::string::npos;
      const fs::path path = (of_set ? paths.data_dir.value_or(fs::path()) : paths.case_dir) / name;
      if (of_set && !fs::exists(path)) {
        line.checked = false;
        line.absent = true;
        line.note = "not at hand; --data DIR names the folder of the sets";
        report.lines.push_back(line);
        continue;
      }
      const std::string bytes = read_file(path), origin = "'" + path.string() + "'";
      const Picture picture = decoded(bytes, origin);
      CropPlan plan;
      if (evaluation) {
        plan = centre_crop(picture.info.height, picture.info.width, resize, size);
      } else {
        plan.box = {entry.integer("i", 0, picture.info.height - 1), entry.integer("j", 0, picture.info.width - 1),
                    entry.integer("h", 1, picture.info.height), entry.integer("w", 1, picture.info.width)};
        plan.height = plan.width = plan.size = size;
      }
      const auto compare = [&](const char* what, const std::string& actual, const std::string& key) {
        if (actual == entry.text(key)) return;
        line.note += (line.note.empty() ? "other bytes: " : ", ") + std::string(what);
      };
      compare("decoded", sha_of(picture.pixels), "decoded_sha256");
      if (evaluation) compare("scaled", sha_of(picture.scaled(plan)), "resized_sha256");
      compare("result", sha_of(picture.rendered(plan)), "sha256");
      compare("result of partial decoding", sha_of(from_file(bytes, origin, plan)), "sha256");
      line.ok = line.note.empty();
      line.deviation = line.ok ? 0.0 : 1.0;
      report.lines.push_back(line);
    }
  }
  return report;
}

}  // namespace bitcycle
