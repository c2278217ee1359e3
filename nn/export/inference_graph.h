// SPDX-License-Identifier: Apache-2.0
// InferenceGraph: a network as a list of operations over numbered values, in the order of the forward pass: what an
// exporter needs to write it down in another format. It holds names and shapes, no numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "sim/ops/conv_shape.h"
#include "sim/ops/max_pool.h"

namespace bitcycle {

struct InferenceNode {
  /// conv: the quantised convolution `name` of `shape` (n = 1). float_conv: the same of a layer in float32. norm: batch
  /// norm `name` of `channels`. add: the sum of two values. relu. max_pool: over `window`. average_pool: the mean over
  /// all positions. linear: the float32 layer `name`, `channels` outputs.
  enum class Op : std::uint8_t {
    kConv,
    kFloatConv,
    kNorm,
    kAdd,
    kRelu,
    kMaxPool,
    kAveragePool,
    kLinear
  } op = Op::kConv;
  std::string name;  // of the parameters: NAME.weight; for add, relu and the pools just a name
  std::vector<int> inputs;
  int output = 0;
  ConvShape shape = {};
  std::int64_t channels = 0;
  ops::PoolWindow window = {};
};

struct InferenceGraph {
  std::int64_t h = 0, w = 0, c = 0;  // of value 0, the images
  std::vector<InferenceNode> nodes;  // the last one's output are the logits

  /// Adds an operation and gives the number of its result.
  int add(InferenceNode node) {
    node.output = static_cast<int>(nodes.size()) + 1;
    nodes.push_back(std::move(node));
    return nodes.back().output;
  }
};

/// Of the evaluation program of a model.
InferenceGraph inference_graph(const std::string& model, std::int64_t classes, std::int64_t image_size = 0);
/// The same of a config, which may have layers in float32.
InferenceGraph inference_graph(const Config& config);

}  // namespace bitcycle
