// SPDX-License-Identifier: Apache-2.0
// Any bytes as a JPEG file: decoded, or refused with a std::runtime_error. A box of it has the pixels of the whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "nn/data/jpeg.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using bitcycle::PixelBox;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static bitcycle::JpegReader reader;  // one for all, as a worker has it: no file may disturb the next one
  const auto pixels = [&](const PixelBox& box) {
    std::vector<std::uint8_t> all;
    reader.rows(box, [&](std::int64_t, const std::uint8_t* row) { all.insert(all.end(), row, row + 3 * box.width); });
    return all;
  };
  try {
    const bitcycle::JpegInfo info = reader.open(bytes, "input");
    if (info.width * info.height > 1 << 18) return 0;  // large pictures take long and show no more
    const auto whole = pixels({0, 0, info.height, info.width});
    const PixelBox box{info.height / 3, info.width / 3, (info.height + 2) / 3, (info.width + 2) / 3};
    reader.open(bytes, "input");
    const auto part = pixels(box);
    if (part.size() != static_cast<std::size_t>(3 * box.height * box.width)) std::abort();
    for (std::int64_t y = 0; y < box.height; ++y) {
      const auto row = part.begin() + 3 * y * box.width;
      if (!std::equal(row, row + 3 * box.width, whole.begin() + 3 * ((box.top + y) * info.width + box.left))) {
        std::abort();
      }
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
