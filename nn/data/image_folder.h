// SPDX-License-Identifier: Apache-2.0
// Folders of photographs: FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg. Classes are the folders of train/,
// numbered by their sorted names. Only an index lies in memory: names, sizes, labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bitcycle {

/// Files of train/ or of val/, sorted by class, folder and name.
class FolderIndex {
 public:
  std::int64_t count() const { return static_cast<std::int64_t>(labels_.size()); }
  std::filesystem::path path(std::int64_t image) const;
  /// CLASS/NAME.
  std::string name(std::int64_t image) const;
  std::uint64_t bytes(std::int64_t image) const { return sizes_[static_cast<std::size_t>(image)]; }
  const std::vector<std::int32_t>& labels() const { return labels_; }
  /// XXH3-128 over names and sizes of the files.
  std::string digest() const;
  /// Keeps `images` of them, evenly over the list: number floor(i * count / images).
  void keep(std::int64_t images);

 private:
  friend struct ImageFolderScan;
  std::filesystem::path root_;
  std::string names_;                   // CLASS/NAME, one behind the other
  std::vector<std::uint64_t> offsets_;  // where each begins, and the end
  std::vector<std::uint64_t> sizes_;
  std::vector<std::int32_t> labels_;
};

struct ImageFolder {
  std::vector<std::string> classes;
  FolderIndex train, test;
  std::vector<std::string> warnings;
};

/// Reads the folders' lists, no picture. Throws std::runtime_error with what is wrong and the remedy: no train/ or
/// val/, fewer than two classes, a class without JPEG files, a class of one part that the other lacks, pictures of
/// another kind (PNG, ...).
ImageFolder read_image_folder(const std::filesystem::path& folder);

/// True where the folder is one of this kind: it has train/ and val/, or one of them.
bool looks_like_image_folder(const std::filesystem::path& folder);

}  // namespace bitcycle
