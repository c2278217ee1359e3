// SPDX-License-Identifier: Apache-2.0
// Reads every picture of an image folder, or of a pack, and says what is in it and what is broken.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nn/data/image_folder.h"
#include "nn/data/pack.h"

namespace bitcycle {

struct ImageCheck {
  std::int64_t images = 0, grey = 0, cmyk = 0;
  std::uint64_t bytes = 0;                    // of the files
  std::vector<std::int64_t> shorter, longer;  // sides, ascending
  std::vector<std::string> unreadable;        // why, in the order of the index
  std::vector<std::string> damaged;           // made good by the decoder: name and its words
};

using CheckProgress = std::function<void(std::int64_t done, std::int64_t of)>;

ImageCheck check_images(const FolderIndex& index, int threads, const CheckProgress& progress);
ImageCheck check_pack(const std::filesystem::path& path, const std::vector<PackEntry>& entries, int threads,
                      const CheckProgress& progress);

}  // namespace bitcycle
