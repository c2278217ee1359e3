// SPDX-License-Identifier: Apache-2.0
// Windows of convolutions and poolings of an ONNX graph: kernel, strides, dilations and padding of each axis.
#pragma once

#include <cstdint>
#include <vector>

#include "cost_models/onnx/onnx_shapes.h"

namespace bitcycle {

/// One axis.
struct OnnxWindow {
  std::int64_t kernel = 1, stride = 1, dilation = 1, before = 0, after = 0;
  std::int64_t out = 1;  // positions
};

/// The windows of a node over the spatial axes of an input (n, c, ...), with `kernel` taps an axis; attributes strides,
/// dilations, pads, auto_pad and ceil_mode applied. Throws std::invalid_argument where no window fits.
std::vector<OnnxWindow> windows_of(const ShapeTask& task, const OnnxShape& input, const OnnxShape& kernel);

}  // namespace bitcycle
