// SPDX-License-Identifier: Apache-2.0
// Small photographs, and an image folder made of them.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/golden/source_paths.h"

namespace bitcycle::test {

inline const std::vector<std::string>& photographs() {
  static const std::vector<std::string> names{"cmyk.jpg", "grey.jpg", "h2v1.jpg", "progressive.jpg", "rotated.jpg"};
  return names;
}

inline std::filesystem::path photograph(const std::string& name) {
  return golden_path("/images/imagenet_sample/" + name);
}

inline std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// train/ and val/ with so many classes ("a", "b", ...) of so many photographs each.
inline void make_image_folder(const std::filesystem::path& folder, int classes = 2, int train = 5, int test = 3) {
  for (int label = 0; label < classes; ++label) {
    for (const bool training : {true, false}) {
      for (int i = 0; i < (training ? train : test); ++i) {
        const auto& name = photographs()[static_cast<std::size_t>(i + label) % photographs().size()];
        write_bytes(folder / (training ? "train" : "val") / std::string(1, static_cast<char>('a' + label)) /
                        (std::to_string(i) + "_" + name),
                    bytes_of_file(photograph(name)));
      }
    }
  }
}

}  // namespace bitcycle::test
