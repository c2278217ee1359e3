// SPDX-License-Identifier: Apache-2.0
// OperatorCase: one recorded quantised convolution or fully connected layer, as a folder holds it: case.json (shape and
// widths) and .npy arrays in NCHW and OIHW, of a layer (rows, inputs) and (outputs, inputs). Reading checks everything,
// so that computing need not.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/npy.h"
#include "sim/number/bit_width.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle {

/// An array that a case records, and how closely it must be met.
struct RecordedArray {
  std::string name;
  bool exact = false;
  NpyArray array;
};

struct OperatorCase {
  bool linear = false;                    // a fully connected layer: the convolution of 1 x 1 maps, rows being samples
  std::vector<float> bias;                // of a layer; empty: none
  bool bias_quantised = false;            // one range for the vector, at `width`
  std::optional<double> close_tolerance;  // of arrays that are not exact, where the case gives one
  ConvShape shape;
  BitWidth width;               // x and w
  BitWidth gradient_width;      // dy
  std::vector<float> x, w, dy;  // NHWC, OHWI, NHWC
  std::vector<float> noise;     // as dy; empty: rounding to nearest
  std::vector<RecordedArray> recorded;
};

/// Throws std::runtime_error naming file, key or array, and what was expected.
OperatorCase read_operator_case(const std::filesystem::path& case_dir);

}  // namespace bitcycle
