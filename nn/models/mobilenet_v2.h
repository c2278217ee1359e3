// SPDX-License-Identifier: Apache-2.0
// MobileNetV2 for CIFAR as Cyclic Precision Training has it: inverted residual blocks with depthwise convolutions on
// 32x32 images. Every convolution is quantised, depthwise and shortcut ones too; the classifier is float32. Parameter
// names are those of the paper's code.
#pragma once

#include "nn/models/model.h"

namespace bitcycle {

ModelFamily mobilenet_v2_family();

}  // namespace bitcycle
