// SPDX-License-Identifier: Apache-2.0
#include "nn/data/check_images.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "nn/data/jpeg.h"
#include "nn/data/parallel_images.h"
#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kProgressEvery = 64;

/// Gathers from several threads; texts in the order of the images.
class Gather {
 public:
  Gather(std::int64_t count, const CheckProgress& progress) : progress_(progress) { check_.images = count; }
  void add(std::int64_t height, std::int64_t width) {
    const std::lock_guard lock(mutex_);
    check_.shorter.push_back(std::min(height, width));
    check_.longer.push_back(std::max(height, width));
  }
  void add(const JpegInfo& info, std::int64_t image, const std::string& name) {
    add(info.height, info.width);
    const std::lock_guard lock(mutex_);
    check_.grey += info.components == 1 ? 1 : 0;
    check_.cmyk += info.components == 4 ? 1 : 0;
    if (info.warnings > 0) damaged_[image] = "'" + name + "': " + info.first_warning;
  }
  void unreadable(std::int64_t image, const std::string& why) {
    const std::lock_guard lock(mutex_);
    unreadable_[image] = why;
  }
  void one_more() {
    const std::lock_guard lock(mutex_);
    if (++done_ % kProgressEvery == 0 || done_ == check_.images) progress_(done_, check_.images);
  }
  ImageCheck result() {
    for (auto& [image, text] : unreadable_) check_.unreadable.push_back(std::move(text));
    for (auto& [image, text] : damaged_) check_.damaged.push_back(std::move(text));
    std::sort(check_.shorter.begin(), check_.shorter.end());
    std::sort(check_.longer.begin(), check_.longer.end());
    return std::move(check_);
  }

 private:
  const CheckProgress& progress_;
  std::mutex mutex_;
  ImageCheck check_;
  std::int64_t done_ = 0;
  std::map<std::int64_t, std::string> unreadable_, damaged_;
};

}  // namespace

ImageCheck check_images(const FolderIndex& index, int threads, const CheckProgress& progress) {
  Gather gather(index.count(), progress);
  for_each_image(
      index.count(), threads, [] { return std::make_unique<JpegReader>(); },
      [&](const std::unique_ptr<JpegReader>& reader, std::int64_t i) {
        const std::string path = index.path(i).string();
        try {
          const std::string bytes = read_file(path);
          const JpegInfo info = reader->open(bytes, "'" + path + "'");
          reader->rows({0, 0, info.height, info.width}, [](std::int64_t, const std::uint8_t*) {});
          gather.add(reader->info(), i, path);
        } catch (const std::runtime_error& error) {
          gather.unreadable(i, error.what());
        }
        gather.one_more();
      });
  ImageCheck check = gather.result();
  for (std::int64_t i = 0; i < index.count(); ++i) check.bytes += index.bytes(i);
  return check;
}

ImageCheck check_pack(const std::filesystem::path& path, const std::vector<PackEntry>& entries, int threads,
                      const CheckProgress& progress) {
  const auto count = static_cast<std::int64_t>(entries.size());
  Gather gather(count, progress);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw_file_error("cannot read", path, errno);
  for_each_image(
      count, threads, [] { return std::vector<std::uint8_t>(); },
      [&](std::vector<std::uint8_t>& pixels, std::int64_t i) {
        const PackEntry& entry = entries[static_cast<std::size_t>(i)];
        try {
          read_packed(file, path, entry, pixels);
          gather.add(entry.height, entry.width);
        } catch (const DataError& error) {
          gather.unreadable(i, error.what());
        }
        gather.one_more();
      });
  close(file);
  ImageCheck check = gather.result();
  for (const PackEntry& entry : entries) check.bytes += entry.bytes();
  return check;
}

}  // namespace bitcycle
