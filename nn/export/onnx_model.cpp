// SPDX-License-Identifier: Apache-2.0
#include "nn/export/onnx_model.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kIrVersion = 8;  // of the format, 2021
constexpr std::int64_t kOpset = 13;     // the oldest that has every operator in the form used here

// Field numbers of onnx.proto.
namespace model_field {
constexpr int kIrVersion = 1, kProducer = 2, kProducerVersion = 3, kDescription = 6, kGraph = 7, kOpset = 8,
              kMetadata = 14;
}
namespace graph_field {
constexpr int kNode = 1, kName = 2, kConstant = 5, kInput = 11, kOutput = 12;
}
namespace node_field {
constexpr int kInput = 1, kOutput = 2, kName = 3, kOp = 4, kAttribute = 5;
}
namespace attribute_field {
constexpr int kName = 1, kInteger = 3, kList = 8, kType = 20;
constexpr std::int64_t kTypeInteger = 2, kTypeList = 7;
}  // namespace attribute_field
namespace tensor_field {
constexpr int kShape = 1, kType = 2, kName = 8, kRaw = 9;
}

ProtobufWriter value_info(const std::string& name, OnnxType type, const std::vector<std::int64_t>& sizes) {
  ProtobufWriter shape, batch;
  batch.bytes(2, "N");  // dim_param
  shape.message(1, batch);
  for (const auto size : sizes) {
    ProtobufWriter extent;
    extent.integer(1, size);  // dim_value
    shape.message(1, extent);
  }
  ProtobufWriter tensor, whole, info;
  tensor.integer(1, static_cast<std::int64_t>(type));  // elem_type
  tensor.message(2, shape);
  whole.message(1, tensor);  // tensor_type
  info.bytes(1, name);
  info.message(2, whole);
  return info;
}

}  // namespace

void OnnxModel::add_constant(const std::string& name, OnnxType type, const std::vector<std::int64_t>& shape,
                             std::string_view raw) {
  ProtobufWriter& tensor = constants_.emplace_back();
  if (!shape.empty()) tensor.integers(tensor_field::kShape, shape);
  tensor.integer(tensor_field::kType, static_cast<std::int64_t>(type));
  tensor.bytes(tensor_field::kName, name);
  tensor.bytes(tensor_field::kRaw, raw);
}

std::string OnnxModel::node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
                            const OnnxAttributes& attributes) {
  ProtobufWriter& node = nodes_.emplace_back();
  for (const auto& input : inputs) node.bytes(node_field::kInput, input);
  node.bytes(node_field::kOutput, output);
  node.bytes(node_field::kName, output);
  node.bytes(node_field::kOp, op);
  for (const auto& [name, value] : attributes.integers) {
    ProtobufWriter attribute;
    attribute.bytes(attribute_field::kName, name);
    attribute.integer(attribute_field::kInteger, value);
    attribute.integer(attribute_field::kType, attribute_field::kTypeInteger);
    node.message(node_field::kAttribute, attribute);
  }
  for (const auto& [name, values] : attributes.lists) {
    ProtobufWriter attribute;
    attribute.bytes(attribute_field::kName, name);
    attribute.integers(attribute_field::kList, values);
    attribute.integer(attribute_field::kType, attribute_field::kTypeList);
    node.message(node_field::kAttribute, attribute);
  }
  return output;
}

void OnnxModel::input(const std::string& name, OnnxType type, const std::vector<std::int64_t>& sizes) {
  inputs_.push_back(value_info(name, type, sizes));
}

void OnnxModel::output(const std::string& name, OnnxType type, const std::vector<std::int64_t>& sizes) {
  outputs_.push_back(value_info(name, type, sizes));
}

std::string OnnxModel::bytes(const std::string& producer_version, const std::string& description,
                             const std::map<std::string, std::string>& metadata) const {
  ProtobufWriter graph;
  for (const auto& node : nodes_) graph.message(graph_field::kNode, node);
  graph.bytes(graph_field::kName, name_);
  for (const auto& constant : constants_) graph.message(graph_field::kConstant, constant);
  for (const auto& input : inputs_) graph.message(graph_field::kInput, input);
  for (const auto& output : outputs_) graph.message(graph_field::kOutput, output);

  ProtobufWriter model;
  model.integer(model_field::kIrVersion, kIrVersion);
  model.bytes(model_field::kProducer, "bitcycle");
  model.bytes(model_field::kProducerVersion, producer_version);
  model.bytes(model_field::kDescription, description);
  model.message(model_field::kGraph, graph);
  ProtobufWriter opset;
  opset.integer(2, kOpset);  // of the default domain
  model.message(model_field::kOpset, opset);
  for (const auto& [key, value] : metadata) {
    ProtobufWriter entry;
    entry.bytes(1, key);
    entry.bytes(2, value);
    model.message(model_field::kMetadata, entry);
  }
  return model.text();
}

}  // namespace bitcycle
