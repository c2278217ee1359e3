// SPDX-License-Identifier: Apache-2.0
// load_images: a batch of a set of images in device memory, cropped and flipped where training asks for it
// (docs/numerics.md, 8.3): x = values[channel][pixel], and the labels. A pixel outside the image counts as 0.
#pragma once

#include <cstdint>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct LoadImages {
  static constexpr const char* kName = "load_images";
  Tensor pixels;      // uint8 (count, h, w, 3): the whole set
  Tensor set_labels;  // int32 (count)
  Tensor indices;     // image index (at least the batch): which image, and the epoch of its augmentation
  Tensor first;       // uint32 (): the index of the batch's first image
  Tensor values;      // float32 (3, 256): of every pixel of each channel
  Tensor x;           // float32 (n, h, w, 3)
  Tensor labels;      // int32 (n)
  bool augment = false;
  std::uint64_t seed = 0;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("pixels", self.pixels, Access::kRead);
    visit("set labels", self.set_labels, Access::kRead);
    visit("indices", self.indices, Access::kRead);
    visit("first", self.first, Access::kRead);
    visit("values", self.values, Access::kRead);
    visit("x", self.x, Access::kWrite);
    visit("labels", self.labels, Access::kWrite);
  }
};

void check(const LoadImages& op, const Operands& operands);
void run(const LoadImages& op, const StepMemory& memory);

}  // namespace bitcycle::ops
