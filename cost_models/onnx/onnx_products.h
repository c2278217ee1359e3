// SPDX-License-Identifier: Apache-2.0
// The operators of ONNX that multiply matrices, as shapes that cost models price.
#pragma once

#include <optional>
#include <string>

#include "cost_models/onnx/onnx_shapes.h"
#include "sim/workload.h"

namespace bitcycle {

struct OnnxProduct {
  MatrixOperation operation;
  std::size_t lhs = 0, rhs = 1;  // the node's inputs: what streams by, and the weights
  OnnxShape result;
};

/// True for operators that OnnxProduct describes.
bool is_product(const std::string& op);
/// Why an operator that multiplies matrices is not priced, and what to do; empty for all others.
std::string refusal_of(const std::string& op);
/// Throws UnknownShape, or std::invalid_argument.
OnnxProduct product_of(const ShapeTask& task);

}  // namespace bitcycle
