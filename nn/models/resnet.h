// SPDX-License-Identifier: Apache-2.0
// The CIFAR ResNets of Cyclic Precision Training: resnet<depth>, three groups of (depth - 2) / 6 basic blocks with
// 16, 32 and 64 channels on 32x32 images. Every convolution is quantised, the 1x1 shortcuts too; the classifier is
// float32. Parameter names are those of the paper's code.
#pragma once

#include "nn/models/model.h"

namespace bitcycle {

ModelFamily resnet_family();

}  // namespace bitcycle
