// SPDX-License-Identifier: Apache-2.0
#include "nn/export/inference_graph.h"

#include <map>
#include <stdexcept>
#include <utility>

#include "nn/builder/image_layers.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

/// Nodes of an evaluation program as operations of the graph. Quantisers belong to their convolution.
class Reader {
 public:
  explicit Reader(const builder::NetworkProgram& network) : program_(network.program) {
    graph_.h = network.image_h;
    graph_.w = network.image_w;
    graph_.c = network.image_c;
    values_[network.images.id] = 0;
    for (const Node& node : program_.nodes()) {
      std::visit([&](const auto& op) { read(node.site.layer, op); }, node.operation);
    }
  }
  InferenceGraph result() { return std::move(graph_); }

 private:
  using Op = InferenceNode::Op;
  int value(Tensor tensor) const {
    const auto found = values_.find(tensor.id);
    if (found == values_.end()) throw_unknown();
    return found->second;
  }
  [[noreturn]] static void throw_unknown() {
    throw std::runtime_error("this model cannot be exported: it has operations that export does not write");
  }
  void add(InferenceNode node, Tensor result) { values_[result.id] = graph_.add(std::move(node)); }

  template <typename Other>
  void read(const std::string&, const Other&) {}
  void read(const std::string&, const ops::Quantise& op) {
    const auto found = values_.find(op.x.id);
    if (found != values_.end()) values_[op.codes.id] = found->second;
  }
  void read(const std::string& layer, const ops::Product& op) {
    add({.op = Op::kConv, .name = layer, .inputs = {value(op.lhs.codes)}, .shape = op.over.at(1).shape}, op.sums);
  }
  void read(const std::string&, const ops::Rescale& op) { values_[op.y.id] = value(op.sums); }
  void read(const std::string& layer, const ops::FloatProduct& op) {
    const int x = value(op.lhs);
    const bool is_pooled = x > 0 && graph_.nodes[static_cast<std::size_t>(x) - 1].op == Op::kAveragePool;
    add({.op = is_pooled ? Op::kLinear : Op::kFloatConv,
         .name = layer,
         .inputs = {x},
         .shape = op.over.at(1).shape,
         .channels = op.over.shape.o},
        op.y);
  }
  void read(const std::string&, const ops::AddBias& op) { values_[op.y.id] = value(op.x); }
  void read(const std::string& layer, const ops::NormApply& op) {
    add({.op = Op::kNorm, .name = layer, .inputs = {value(op.y)}, .channels = program_.spec(op.z).shape.back()}, op.z);
  }
  void read(const std::string& layer, const ops::Add& op) {
    add({.op = Op::kAdd, .name = layer + ".add", .inputs = {value(op.a), value(op.b)}}, op.z);
  }
  void read(const std::string& layer, const ops::Relu& op) {
    add({.op = Op::kRelu, .name = layer + ".relu", .inputs = {value(op.x)}}, op.z);
  }
  void read(const std::string& layer, const ops::MaxPool& op) {
    add({.op = Op::kMaxPool, .name = layer, .inputs = {value(op.x)}, .window = op.window}, op.z);
  }
  void read(const std::string& layer, const ops::AveragePool& op) {
    add({.op = Op::kAveragePool, .name = layer, .inputs = {value(op.x)}}, op.pooled);
  }

  const Program& program_;
  InferenceGraph graph_;
  std::map<std::int32_t, int> values_;  // by tensor
};

}  // namespace

namespace {

InferenceGraph graph_of(const std::string& model, std::int64_t classes, builder::Options options) {
  options.training = false;
  options.widest = [](const std::string&) { return LayerWidths{BitWidth::integer(8), BitWidth::integer(8)}; };
  return Reader(*write_model(model, classes, options)).result();
}

}  // namespace

InferenceGraph inference_graph(const std::string& model, std::int64_t classes, std::int64_t image_size) {
  builder::Options options;
  options.image_size = image_size;
  return graph_of(model, classes, std::move(options));
}

InferenceGraph inference_graph(const Config& config) {
  builder::Options options;
  options.image_size = image_size_of(config);
  builder::choose_layers(config, options);
  return graph_of(config.model.name, config.model.classes, std::move(options));
}

}  // namespace bitcycle
