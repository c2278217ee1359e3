// SPDX-License-Identifier: Apache-2.0
#include "nn/export/exported_model.h"

#include <stdexcept>

#include "sim/number/ordered_key.h"

namespace bitcycle {
namespace {

template <typename T>
const T& by_name(const std::vector<T>& items, const std::string& name) {
  for (const auto& item : items) {
    if (item.name == name) return item;
  }
  throw std::logic_error("'" + name + "' is not part of the exported model");
}

/// Tensors of a checkpoint, with their sizes checked.
class CheckpointTensors {
 public:
  CheckpointTensors(const TensorFile& file, const std::string& origin) : file_(file), origin_(origin) {}
  const std::vector<float>& get(const std::string& name, std::int64_t size) const {
    const NamedTensor* tensor = file_.find(name);
    if (tensor == nullptr) throw std::runtime_error(origin_ + " lacks the tensor '" + name + "'");
    if (static_cast<std::int64_t>(tensor->data.size()) != size) {
      throw std::runtime_error(origin_ + ": '" + name + "' has " + std::to_string(tensor->data.size()) +
                               " elements, the model's has " + std::to_string(size));
    }
    return tensor->data;
  }

 private:
  const TensorFile& file_;
  const std::string& origin_;
};

ExportedConv make_conv(const InferenceNode& node, const CheckpointTensors& state, BitWidth width, MinScale min_scale,
                       const std::string& origin) {
  ExportedConv conv{
      node.name, node.shape, width, {}, {}, {}, state.get(node.name + ".weight", node.shape.weight_size())};
  const float zero_point = state.get(node.name + ".quantize_input.running_zero_point", 1)[0];
  const float range = state.get(node.name + ".quantize_input.running_range", 1)[0];
  if (zero_point == 0.0F && range == 0.0F) {
    throw std::runtime_error(origin + ": the running range of " + node.name +
                             " is empty; an export needs the ranges that training leaves");
  }
  if (width.is_float32()) return conv;
  conv.input = affine_of(static_cast<double>(zero_point), static_cast<double>(range), width, min_scale);
  const auto group = static_cast<std::size_t>(node.shape.weight_size() / node.shape.o);
  for (std::size_t first = 0; first < conv.weights.size(); first += group) {
    KeyRange keys;
    for (std::size_t i = first; i < first + group; ++i) include(keys, conv.weights[i]);
    const Affine grid = affine_of(range_of_keys(keys), width, min_scale);
    for (std::size_t i = first; i < first + group; ++i)
      conv.codes.push_back(quantise(conv.weights[i], grid, width, 0.0F));
    conv.grids.push_back(grid);
  }
  return conv;
}

}  // namespace

const ExportedConv& ExportedModel::conv(const std::string& layer) const { return by_name(convs, layer); }
const ExportedFloatConv& ExportedModel::float_conv(const std::string& layer) const {
  return by_name(float_convs, layer);
}
const ExportedNorm& ExportedModel::norm(const std::string& layer) const { return by_name(norms, layer); }
const ExportedLinear& ExportedModel::linear(const std::string& layer) const { return by_name(linears, layer); }

ExportedModel export_model(const std::string& name, const InferenceGraph& graph, const TensorFile& file,
                           const std::vector<BitWidth>& widths, MinScale min_scale, const std::string& origin) {
  const CheckpointTensors state(file, origin);
  ExportedModel model;
  model.name = name;
  model.graph = graph;
  for (const auto& node : graph.nodes) {
    if (node.op == InferenceNode::Op::kConv) {
      if (model.convs.size() == widths.size()) throw std::logic_error("widths of every convolution are needed");
      model.convs.push_back(make_conv(node, state, widths[model.convs.size()], min_scale, origin));
    } else if (node.op == InferenceNode::Op::kFloatConv) {
      model.float_convs.push_back({node.name, node.shape, state.get(node.name + ".weight", node.shape.weight_size())});
    } else if (node.op == InferenceNode::Op::kNorm) {
      const auto& gamma = state.get(node.name + ".weight", node.channels);
      const auto& beta = state.get(node.name + ".bias", node.channels);
      const auto& mean = state.get(node.name + ".running_mean", node.channels);
      const auto& variance = state.get(node.name + ".running_var", node.channels);
      ExportedNorm norm{node.name, {}};
      for (std::size_t c = 0; c < gamma.size(); ++c) {
        norm.channels.push_back(norm_running_channel(mean[c], variance[c], gamma[c], beta[c]));
      }
      model.norms.push_back(std::move(norm));
    } else if (node.op == InferenceNode::Op::kLinear) {
      const std::int64_t inputs = node.shape.c, outputs = node.channels;
      model.linears.push_back({node.name, inputs, outputs, state.get(node.name + ".weight", inputs * outputs),
                               state.get(node.name + ".bias", outputs)});
      model.classes = outputs;
    }
  }
  return model;
}

}  // namespace bitcycle
