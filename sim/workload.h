// SPDX-License-Identifier: Apache-2.0
// Workload: the matrix-like operations of one training sample, with shapes. Made by nn from the network
// that runs, priced by cost_models, given widths by a PrecisionPlan. Operands are just operands: no
// reader may assume that one is a weight or a layer a convolution.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/ops/conv_shape.h"

namespace bitcycle {

struct MatrixOperation {
  std::string layer;             // name as in the precision plan and the parameters, without ".weight"
  std::string kind = "conv2d";   // conv2d, linear, matmul
  ConvShape shape;               // n = 1: one sample
  bool quantised = true;         // false: float32 whatever the schedule says (the classifier)
  bool input_gradient = true;    // false: nothing needs its error pass (the first layer)
};

/// Elementwise work that some metrics count beside the matrix operations.
struct ElementwiseOperation {
  std::string layer;
  std::string kind = "batch_norm";
  std::int64_t elements = 0;  // a sample
};

struct Workload {
  std::string model;
  std::vector<MatrixOperation> matrix;
  std::vector<ElementwiseOperation> elementwise;
  /// MACs of the forward pass of one sample.
  std::int64_t macs() const;
};

}  // namespace bitcycle
