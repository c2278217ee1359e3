// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/augmentation.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {

void load_images(const ImageBatch& args) {
  float* out = args.x;
  for (std::int64_t i = 0; i < args.n; ++i) {
    const ImageIndex& index = args.indices[i];
    args.labels[i] = args.set_labels[index.image];
    const Augmentation augmentation =
        args.augment ? augmentation_of(args.seed, index.epoch, index.image) : Augmentation{};
    const std::uint8_t* image = args.pixels + std::int64_t{index.image} * args.h * args.w * 3;
    for (std::int64_t y = 0; y < args.h; ++y) {
      for (std::int64_t x = 0; x < args.w; ++x) {
        const std::int64_t from_y = y + augmentation.shift_y;
        const std::int64_t from_x = (augmentation.flip ? args.w - 1 - x : x) + augmentation.shift_x;
        const bool exists = from_y >= 0 && from_y < args.h && from_x >= 0 && from_x < args.w;
        for (std::int64_t c = 0; c < 3; ++c) {
          *out++ = args.table[c * 256 + (exists ? image[(from_y * args.w + from_x) * 3 + c] : 0)];
        }
      }
    }
  }
}

}  // namespace bitcycle::reference
