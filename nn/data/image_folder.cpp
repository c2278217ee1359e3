// SPDX-License-Identifier: Apache-2.0
#include "nn/data/image_folder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "sim/number/digest.h"

namespace bitcycle {
namespace fs = std::filesystem;

namespace {

constexpr int kDeepest = 8;
constexpr std::size_t kShown = 3;

std::string lower_extension(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return "";
  std::string extension = name.substr(dot + 1);
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}
bool is_jpeg(const std::string& extension) {
  static const std::set<std::string> names{"jpg", "jpeg", "jpe", "jfif"};
  return names.count(extension) != 0;
}
/// Pictures of other kinds, which other programs would take as images of the class.
bool is_other_picture(const std::string& extension) {
  static const std::set<std::string> names{"png", "gif",  "bmp",  "tif",  "tiff", "webp", "ppm",
                                           "pgm", "heic", "heif", "avif", "jp2",  "jxl"};
  return names.count(extension) != 0;
}

/// "a, b, c and 7 more".
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

[[noreturn]] void complain(const fs::path& where, const std::string& what) {
  throw std::runtime_error("'" + where.string() + "' " + what);
}

struct File {
  std::string name;  // below the class folder
  std::uint64_t bytes = 0;
};

/// Entries of a folder, sorted by name.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) entries.push_back(*it);
  if (error) complain(folder, "cannot be listed: " + error.message());
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.path().filename().string() < b.path().filename().string(); });
  return entries;
}

}  // namespace

/// Reads one part of a set.
struct ImageFolderScan {
  fs::path root;
  std::vector<std::string> classes;
  FolderIndex index;
  std::vector<std::string> empty, other_pictures, ignored;
  std::size_t beside = 0;  // JPEG files that are in no class folder

  explicit ImageFolderScan(const fs::path& part) : root(part) {
    index.root_ = part;
    index.offsets_.push_back(0);
    std::size_t loose = 0;
    for (const auto& entry : entries_of(part)) {
      const std::string name = entry.path().filename().string();
      if (entry.is_directory()) {
        if (!name.starts_with('.')) read_class(entry.path(), name);
      } else if (is_jpeg(lower_extension(name))) {
        ++loose;
      }
    }
    if (classes.empty()) {
      complain(part, loose == 0 ? "holds no class folders: each class is a folder of JPEG files"
                                : "holds " + std::to_string(loose) +
                                      " JPEG files and no class folders: put the files of each class into a folder of "
                                      "its name");
    }
    beside = loose;
    if (!other_pictures.empty()) {
      complain(part, "holds pictures that are no JPEG files: " + listed(other_pictures) +
                         "; JPEG is the kind that is read, so convert them or take them out of the folder");
    }
    if (!empty.empty()) {
      complain(part,
               "has class folders without a JPEG file: " + listed(empty) + "; take them away, or put their files back");
    }
  }

  void read_class(const fs::path& folder, const std::string& name) {
    // As other loaders sort: folders by their path, then files by their name.
    std::vector<std::pair<std::string, fs::path>> folders;
    collect(folder, "", 0, folders);
    std::sort(folders.begin(), folders.end());
    const std::size_t before = index.labels_.size();
    const auto label = static_cast<std::int32_t>(classes.size());
    for (const auto& [below, path] : folders) {
      for (const auto& entry : entries_of(path)) add(entry, name, below, label);
    }
    classes.push_back(name);
    if (index.labels_.size() == before) empty.push_back(name);
  }

  void collect(const fs::path& folder, const std::string& below, int depth,
               std::vector<std::pair<std::string, fs::path>>& folders) {
    if (depth > kDeepest) {
      complain(folder, "is more than " + std::to_string(kDeepest) +
                           " folders below its class: a link to a folder above itself?");
    }
    folders.emplace_back(below, folder);
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored_error;
      const std::string name = it->path().filename().string();
      if (!name.starts_with('.') && it->is_directory(ignored_error)) {
        collect(it->path(), below + name + "/", depth + 1, folders);
      }
    }
    if (error) complain(folder, "cannot be listed: " + error.message());
  }

  void add(const fs::directory_entry& entry, const std::string& class_name, const std::string& below,
           std::int32_t label) {
    std::error_code error;
    if (entry.is_directory(error)) return;
    const std::string file = entry.path().filename().string(), extension = lower_extension(file);
    const std::string name = class_name + "/" + below + file;
    if (file.starts_with('.') || !is_jpeg(extension)) {
      if (!file.starts_with('.') && is_other_picture(extension)) {
        other_pictures.push_back(name);
      } else {
        ignored.push_back(name);
      }
      return;
    }
    if (entry.exists(error) && !entry.is_regular_file(error))
      complain(entry.path(), "is no regular file; take it away");
    const std::uintmax_t bytes = entry.file_size(error);
    if (error) complain(entry.path(), "cannot be read: " + error.message());
    index.names_ += name;
    index.offsets_.push_back(index.names_.size());
    index.sizes_.push_back(bytes);
    index.labels_.push_back(label);
  }
};

std::string FolderIndex::name(std::int64_t image) const {
  const auto i = static_cast<std::size_t>(image);
  return names_.substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

fs::path FolderIndex::path(std::int64_t image) const { return root_ / name(image); }

std::string FolderIndex::digest() const {
  RootDigest root;
  root.add("names", digest_of(names_.data(), names_.size()));
  root.add("offsets", digest_of(offsets_.data(), offsets_.size() * sizeof offsets_[0]));
  root.add("sizes", digest_of(sizes_.data(), sizes_.size() * sizeof sizes_[0]));
  return to_text(root.value());
}

void FolderIndex::keep(std::int64_t images) {
  FolderIndex kept;
  kept.root_ = root_;
  kept.offsets_.push_back(0);
  for (std::int64_t i = 0; i < images; ++i) {
    const std::int64_t from = i * count() / images;
    kept.names_ += name(from);
    kept.offsets_.push_back(kept.names_.size());
    kept.sizes_.push_back(sizes_[static_cast<std::size_t>(from)]);
    kept.labels_.push_back(labels_[static_cast<std::size_t>(from)]);
  }
  *this = std::move(kept);
}

bool looks_like_image_folder(const fs::path& folder) {
  return fs::is_directory(folder / "train") || fs::is_directory(folder / "val");
}

ImageFolder read_image_folder(const fs::path& folder) {
  for (const char* part : {"train", "val"}) {
    if (!fs::is_directory(folder / part)) {
      complain(folder, std::string("has no folder ") + part +
                           "/: an image folder holds train/ and val/, each with a folder of JPEG files a class");
    }
  }
  ImageFolderScan train(folder / "train"), test(folder / "val");
  if (train.classes.size() < 2) {
    complain(folder / "train", "holds one class, '" + train.classes.front() + "': a classifier needs at least 2");
  }
  const auto lacks = [](const std::vector<std::string>& all, const std::vector<std::string>& some) {
    std::vector<std::string> missing;
    std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(missing));
    return missing;
  };
  if (const auto missing = lacks(train.classes, test.classes); !missing.empty()) {
    complain(folder / "val", "lacks class folders that train/ has: " + listed(missing) +
                                 "; classes are numbered by the sorted names of their folders, so both need the same");
  }
  if (const auto missing = lacks(test.classes, train.classes); !missing.empty()) {
    complain(folder / "val", "has class folders that train/ lacks: " + listed(missing) +
                                 "; classes are numbered by the sorted names of their folders, so both need the same");
  }
  ImageFolder result{std::move(train.classes), std::move(train.index), std::move(test.index), {}};
  for (const auto* scan : {&train, &test}) {
    if (scan->beside > 0) {
      const bool one = scan->beside == 1;
      result.warnings.push_back(scan->root.string() + ": " + std::to_string(scan->beside) +
                                (one ? " JPEG file lies" : " JPEG files lie") + " beside the class folders and " +
                                (one ? "is" : "are") + " left out: an image belongs into the folder of its class");
    }
    if (scan->ignored.empty()) continue;
    const bool one = scan->ignored.size() == 1;
    result.warnings.push_back(scan->root.string() + ": " + listed(scan->ignored) + (one ? " is" : " are") +
                              " left out: only files named .jpg, .jpeg, .jpe or .jfif are read, and none whose name "
                              "begins with a dot");
  }
  return result;
}

}  // namespace bitcycle
