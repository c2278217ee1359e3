// SPDX-License-Identifier: Apache-2.0
// The built-in image set: ten shapes and textures, 32x32x3, drawn from Philox in integers only.
#pragma once

#include "nn/data/dataset.h"

namespace bitcycle {

constexpr std::int64_t kSyntheticClasses = 10;
constexpr std::int64_t kSyntheticTrainImages = 10240;
constexpr std::int64_t kSyntheticTestImages = 2048;

/// Class c of image i is i mod 10. The shape says the class; place, size, colours, polarity, background
/// gradient and noise are random, so that no pixel's mean depends on the class and a linear model fails.
/// No class is another's mirror image, so flips keep the label. The set is the same for every train.seed.
ImageSet draw_synthetic(std::int64_t images, bool test);

/// The names of the classes, by label.
const char* synthetic_class_name(std::int64_t label);

}  // namespace bitcycle
