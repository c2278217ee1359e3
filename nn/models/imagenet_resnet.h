// SPDX-License-Identifier: Apache-2.0
// ResNet-18, 34 and 50 for ImageNet as Cyclic Precision Training has them, on 224x224 images or of the size that the
// builder's options say. The convolutions inside the blocks are quantised; the first one, the projections of shortcuts
// and the classifier are float32. Parameter names are those of the paper's code.
#pragma once

#include "nn/models/model.h"

namespace bitcycle {

ModelFamily imagenet_resnet_family();

}  // namespace bitcycle
