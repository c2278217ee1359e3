// SPDX-License-Identifier: Apache-2.0
// The layers of an ONNX model that multiply matrices, as a topology: convolutions and matrix products with the shapes
// that the graph gives them. No library of ONNX is needed; weights are not read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "cost_models/topology.h"

namespace bitcycle {

/// Sizes of axes that a file leaves open, by their names; an axis without a name is INPUT[AXIS].
using OnnxSizes = std::map<std::string, std::int64_t>;

/// Layers in the order of the nodes:
///   Conv, ConvInteger, QLinearConv   with constant weights; over three axes or more as a product of every window
///   ConvTranspose                    as a product of its input's positions with the weights
///   Gemm, MatMul, MatMulInteger, QLinearMatMul
///                                    two values that both depend on the inputs are a product for each sample
/// A layer has its node's name (else its weights', else its result's); a name that is there already gets a number.
/// Integer products with weights that are all 1 add up codes and are not layers; a note says so.
///
/// The batch is the open first axis of the inputs, or open axes whose names hold `batch`; shapes are then those of one
/// sample, as they are where the first axis has the size 1. A first axis of another fixed size makes the shapes those
/// of whole batches (Topology::has_batch).
///
/// Throws std::invalid_argument "FILE: ..." where the bytes are no ONNX model, a node's operator is not known, or a
/// shape that a layer needs can neither be inferred nor stands in the file; the message says what to do.
Topology parse_onnx(std::string_view bytes, const std::string& file, const OnnxSizes& sizes = {});
/// The same of a file of at most 2 GiB, which is mapped, not read.
Topology read_onnx(const std::string& path, const OnnxSizes& sizes = {});

}  // namespace bitcycle
