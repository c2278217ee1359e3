// SPDX-License-Identifier: Apache-2.0
// The time steps of an LSTM layer as a program has them: what LstmLayer's launches stand for.
#pragma once

#include <optional>
#include <vector>

#include "sim/device/kernel_entry.h"
#include "sim/ops/operation.h"

namespace bitcycle::lstm {

/// A product of codes with the weights, and what belongs to it; nodes that are not there are -1.
struct ForwardProduct {
  int range = -1, running = -1, grid = -1, quantise = -1, product = -1, lhs_sums = -1, rhs_sums = -1, rescale = -1;
};
struct ForwardStep {
  int cell = -1, add_bias = -1, slice = -1;  // slice: that the input is, where nobody else looks at it
  ForwardProduct x, h;
};

/// Codes of a gradient, and both products that they are in.
struct BackwardProduct {
  int range = -1, grid = -1, quantise = -1;
  int gradient = -1, gradient_lhs_sums = -1, gradient_rhs_sums = -1, gradient_rescale = -1;
  int error = -1, error_sums = -1, error_rescale = -1;
  int values = -1, magnitude = -1, bias = -1;
};
struct BackwardStep {
  int cell = -1, add = -1, slice = -1;  // of the gradient at the output
  Tensor doutput;                       // without what comes from the next time step
  BackwardProduct x, h;
};
struct Backward {
  std::vector<BackwardStep> steps;  // by time
  std::vector<int> adds;            // of the gradients' parts
  Tensor dx_weights, dh_weights, dbias;
};

/// The layer whose first cell the node is, as far as its products are of bytes and its shapes are the kernels'.
std::optional<std::vector<ForwardStep>> forward_of(const Program& program, int node);
/// The backward pass of the layer whose last time step's cell gradient the node is.
std::optional<Backward> backward_of(const Program& program, int node);

std::vector<int> nodes_of(const std::vector<ForwardStep>& steps);
std::vector<int> nodes_of(const Backward& backward);

}  // namespace bitcycle::lstm
