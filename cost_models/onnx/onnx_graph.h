// SPDX-License-Identifier: Apache-2.0
// OnnxGraph: the nodes of an ONNX model, its constants, and what the file says of the shapes of its values. Weights are
// not copied: a tensor's data are a view into the file, or somewhere else (external data), and only sizes matter.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace bitcycle {

using OnnxShape = std::vector<std::int64_t>;

/// TensorProto.
struct OnnxTensor {
  std::string name;
  OnnxShape shape;
  int type = 0;                        // onnx.TensorProto.DataType
  bool external = false;               // the data lie in another file
  std::string_view raw;                // little endian
  std::vector<std::int64_t> integers;  // int32_data or int64_data, of small tensors
  std::vector<float> reals;            // float_data, of small tensors

  std::int64_t elements() const;
  /// The elements of a small tensor of int8, uint8, int16, int32, int64 or bool; nothing where it has other ones, or
  /// they are not in the file.
  std::optional<std::vector<std::int64_t>> whole_numbers() const;
  /// The same of float32.
  std::optional<std::vector<float>> real_numbers() const;
  /// Every element is the byte 1: weights that add up codes.
  bool is_all_ones() const;
};

/// A size, or the name of one that the file leaves open; both empty: nothing is said.
struct OnnxDimension {
  std::optional<std::int64_t> size;
  std::string name;
};

/// ValueInfoProto.
struct OnnxValueInfo {
  std::string name;
  std::optional<std::vector<OnnxDimension>> shape;
};

struct OnnxNode {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;  // an empty name: left out
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, std::vector<std::int64_t>> lists;
  std::map<std::string, std::string> texts;
  std::map<std::string, OnnxTensor> tensors;
  bool has_graph = false;  // If, Loop, Scan: a graph of its own

  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// Null where the attribute is not there.
  const std::vector<std::int64_t>* list(const std::string& key) const;
  /// How messages name it: "node 'conv1' (Conv)".
  std::string label() const;
};

struct OnnxGraph {
  std::vector<OnnxNode> nodes;
  std::map<std::string, OnnxTensor> constants;  // initializers
  std::vector<OnnxValueInfo> inputs;            // constants left out
  std::map<std::string, OnnxValueInfo> known;   // value_info and outputs
  std::set<std::string> functions;              // names of the model's own operators
  std::int64_t opset = 0;                       // of the default domain
};

/// The graph of a ModelProto; views point into `bytes`. Throws std::invalid_argument where the bytes are none.
OnnxGraph parse_onnx_graph(std::string_view bytes);

}  // namespace bitcycle
