// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/onnx_layers.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <unordered_map>

#include "cost_models/layer_limits.h"
#include "cost_models/onnx/mapped_file.h"
#include "cost_models/onnx/onnx_batch.h"
#include "cost_models/onnx/onnx_products.h"

namespace bitcycle {
namespace {

/// Operators whose constants are trained: what lies behind them has a gradient that somebody needs.
bool has_parameters(const std::string& op) {
  return op.find("Normalization") != std::string::npos || op == "PRelu" || op == "Gather";
}

/// "layer1.0.conv1.weight" -> "layer1.0.conv1".
std::string without_weight(const std::string& name) {
  const std::string suffix = ".weight";
  return name.size() > suffix.size() && name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

/// Goes through the nodes in their order.
class Walk {
 public:
  Walk(const OnnxGraph& graph, const OnnxBatch& batch, Topology& topology)
      : graph_(graph), batch_(batch), topology_(topology) {
    for (const auto& [name, tensor] : graph.constants) {
      OnnxValue& value = values_[name];
      value.shape = tensor.shape;
      value.numbers = tensor.whole_numbers();
      value.tensor = &tensor;
      value.constant = true;
    }
    for (const auto& input : graph.inputs) {
      OnnxValue& value = values_[input.name];
      if (input.shape) {
        value.shape = batch.shape_of_input(input);
      } else {
        value.unknown = "the input '" + input.name + "' has no shape in the file";
      }
    }
    for (const auto& node : graph.nodes) {
      for (const auto& output : node.outputs) {
        if (!output.empty()) makers_.emplace(output, &node);
      }
    }
  }

  void node(const OnnxNode& node) {
    refuse_unknown(node);
    std::vector<const OnnxValue*> inputs;
    for (const auto& name : node.inputs) inputs.push_back(name.empty() ? nullptr : &read(node, name));
    std::vector<OnnxValue> outputs(node.outputs.size());
    const ShapeTask task(node, graph_.opset, inputs, outputs);
    const auto is = [&](bool OnnxValue::*what) {
      return [what](const OnnxValue* value) { return value != nullptr && value->*what; };
    };
    const bool constant = std::all_of(inputs.begin(), inputs.end(),
                                      [](const OnnxValue* value) { return value == nullptr || value->constant; });
    bool trained = std::any_of(inputs.begin(), inputs.end(), is(&OnnxValue::trained));
    if (is_product(node.op)) {
      product(task, constant, outputs);
      trained = trained || !constant;
    } else {
      shape(node, inputs, outputs);
      trained = trained || (!constant && has_parameters(node.op) &&
                            std::any_of(inputs.begin(), inputs.end(), is(&OnnxValue::constant)));
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string& name = node.outputs[i];
      if (name.empty()) continue;
      outputs[i].constant = constant || node.op == "Shape" || node.op == "Size";
      outputs[i].trained = trained && !outputs[i].constant;
      compare_with_file(node, name, outputs[i]);
      if (!values_.emplace(name, std::move(outputs[i])).second) {
        throw std::invalid_argument(node.label() + ": its result '" + name + "' is the name of another value, too");
      }
    }
  }

  void finish() {
    if (sums_of_codes_ > 0) {
      topology_.notes.push_back("Not counted: " + std::to_string(sums_of_codes_) + " integer product" +
                                (sums_of_codes_ == 1 ? "" : "s") +
                                " with weights that are all 1, which add up codes and multiply nothing.");
    }
    tell_names(topology_.warnings, "layers have names that are there already; they are called ", renamed_, "");
    if (topology_.layers.empty()) {
      throw std::invalid_argument("none of its " + std::to_string(graph_.nodes.size()) +
                                  " nodes multiplies matrices, so there is nothing to price");
    }
  }

 private:
  void refuse_unknown(const OnnxNode& node) const {
    const bool standard = node.domain.empty() || node.domain == "ai.onnx";
    if (!standard && graph_.functions.count(node.op) != 0) {
      throw std::invalid_argument(node.label() +
                                  " is a function that the model defines itself; put its nodes in its "
                                  "place first: onnx.inliner.inline_local_functions");
    }
    const std::string refusal = standard ? refusal_of(node.op) : "";
    if (!refusal.empty()) throw std::invalid_argument(node.label() + ": " + refusal);
    if (standard && !node.has_graph &&
        (is_product(node.op) || shape_rule(node.op) != nullptr || is_shaped_by_values(node.op))) {
      return;
    }
    throw std::invalid_argument(node.label() +
                                ": this operator is not known here, and may multiply matrices; export the model with "
                                "operators of ONNX's own domain, or write its layers into a CSV file");
  }

  const OnnxValue& read(const OnnxNode& node, const std::string& name) const {
    const auto found = values_.find(name);
    if (found != values_.end()) return found->second;
    const auto maker = makers_.find(name);
    if (maker == makers_.end()) {
      throw std::invalid_argument(node.label() + " reads '" + name +
                                  "', which is neither an input, nor a constant, nor the result of a node");
    }
    throw std::invalid_argument(node.label() + " reads '" + name + "' before " + maker->second->label() +
                                " has made it: the nodes of a graph must stand in their order, and must not form a "
                                "cycle");
  }

  void shape(const OnnxNode& node, const std::vector<const OnnxValue*>& inputs, std::vector<OnnxValue>& outputs) {
    const ShapeRule rule = shape_rule(node.op);
    std::string why =
        node.label() + " makes it, and its size depends on values that are known only when the model runs";
    if (rule != nullptr) {
      ShapeTask task(node, graph_.opset, inputs, outputs);
      try {
        rule(task);
        why = node.label() + " makes it, and no rule gives its shape";
      } catch (const UnknownShape& unknown) {
        why = unknown.what();
      }
    }
    if (node.op == "Constant") {
      if (const auto tensor = node.tensors.find("value"); tensor != node.tensors.end() && !outputs.empty()) {
        outputs[0].tensor = &tensor->second;
      }
    } else if (node.op == "Identity" && !outputs.empty() && inputs.size() == 1 && inputs[0] != nullptr) {
      outputs[0].tensor = inputs[0]->tensor;
    }
    for (auto& output : outputs) {
      if (!output.shape) output.unknown = why;
    }
  }

  void product(const ShapeTask& task, bool constant, std::vector<OnnxValue>& outputs) {
    std::optional<OnnxProduct> found;
    try {
      found = product_of(task);
    } catch (const UnknownShape& unknown) {
      throw std::invalid_argument(task.node.label() + ": the shape of one of its operands is not known, since " +
                                  unknown.what() +
                                  ". Put the shapes into the file: onnx.save(onnx.shape_inference.infer_shapes("
                                  "onnx.load('MODEL.onnx'), data_prop=True), 'MODEL.onnx')");
    }
    OnnxProduct& product = *found;
    if (!outputs.empty()) outputs[0].shape = product.result;
    if (constant) return;  // a weight that the model computes, once
    const OnnxTensor* weights = task.value(product.rhs).tensor;
    if (task.node.op.find("Integer") != std::string::npos && weights != nullptr && weights->is_all_ones()) {
      ++sums_of_codes_;
      return;
    }
    if (topology_.layers.size() == kMostLayers) {
      throw std::invalid_argument("it has more than " + std::to_string(kMostLayers) + " layers");
    }
    std::string name = task.node.name;
    if (name.empty() && weights != nullptr) name = without_weight(weights->name);
    if (name.empty() && !task.node.outputs.empty()) name = task.node.outputs[0];
    if (const std::string wrong = bad_layer_name(name); !wrong.empty()) task.fail(wrong);
    product.operation.layer = names_.unique(name);
    if (product.operation.layer != name) renamed_.push_back(product.operation.layer);
    product.operation.input_gradient = task.value(product.lhs).trained;
    TopologyLayer layer;
    layer.operation = std::move(product.operation);
    topology_.layers.push_back(std::move(layer));
  }

  /// What the file says of a value's shape helps where nothing else does, and must not contradict what the inputs give.
  void compare_with_file(const OnnxNode& node, const std::string& name, OnnxValue& value) const {
    const auto known = graph_.known.find(name);
    if (known == graph_.known.end() || !known->second.shape) return;
    const auto stated = batch_.shape_of(known->second);
    if (!stated) return;
    if (!value.shape) {
      value.shape = stated;
    } else if (*value.shape != *stated) {
      throw std::invalid_argument(node.label() + ": its result '" + name + "' has the shape " +
                                  shape_text(*value.shape) + " by its inputs, and " + shape_text(*stated) +
                                  " by what the file says; write the file again, or remove its value_info");
    }
  }

  const OnnxGraph& graph_;
  const OnnxBatch& batch_;
  Topology& topology_;
  std::unordered_map<std::string, OnnxValue> values_;
  std::unordered_map<std::string, const OnnxNode*> makers_;
  LayerNames names_;
  std::vector<std::string> renamed_;
  std::size_t sums_of_codes_ = 0;
};

}  // namespace

Topology parse_onnx(std::string_view bytes, const std::string& file, const OnnxSizes& sizes) {
  OnnxGraph graph;
  try {
    graph = parse_onnx_graph(bytes);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(file + ": not an ONNX model, or a damaged one: " + error.what());
  }
  try {
    Topology topology;
    topology.name = std::filesystem::path(file).filename().string();
    const OnnxBatch batch(graph, sizes);
    topology.has_batch = batch.is_fixed();
    for (const auto& text : batch.notes()) topology.notes.push_back(text);
    Walk walk(graph, batch, topology);
    for (const auto& node : graph.nodes) walk.node(node);
    walk.finish();
    for (auto& layer : topology.layers) layer.has_batch = topology.has_batch;
    return topology;
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(file + ": " + error.what());
  }
}

Topology read_onnx(const std::string& path, const OnnxSizes& sizes) {
  const MappedFile file(path);
  return parse_onnx(file.bytes(), path, sizes);
}

}  // namespace bitcycle
