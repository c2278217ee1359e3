// SPDX-License-Identifier: Apache-2.0
// The part of `bitcycle data` that is for image folders and packs.
#pragma once

#include <filesystem>
#include <optional>

#include "cli/console.h"

namespace bitcycle::cli {

struct ImageDataOptions {
  std::optional<std::filesystem::path> pack;  // to be written
  std::int64_t resize = 256;
  int threads = 1;
};

/// Reads every picture, reports, and packs where it is asked to. The exit code: 1 where a picture cannot be read.
int report_images(Console& console, const std::filesystem::path& path, const ImageDataOptions& options);

}  // namespace bitcycle::cli
