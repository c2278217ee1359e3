// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "nn/builder/recurrent.h"

namespace bitcycle::builder {

/// What all uses of a layer share.
struct QuantisedLinear::Shared {
  ProductLayer layer;
  Tensor running;  // range of its input, moved at every use
  Builder::Parameter bias;
  Tensor bias_values;  // that are added: the parameter, or its values on a grid
  std::int64_t uses = 0;
  std::optional<Operand> error;  // of the weights, made at the first backward use

  std::vector<Tensor> weight_parts, bias_parts;  // of the gradients, the last use's first

  /// Where a use's part of a gradient goes: into the parameter's own tensor where it is the only one.
  Tensor part_of(Tensor whole, const std::string& what, const std::string& use) const {
    if (uses == 1) return whole;
    Builder& builder = layer.builder;
    return builder.tensor(layer.name, what + use, Element::kFloat32, builder.result().program.spec(whole).shape);
  }
  /// whole = the parts, added in their order.
  void add_up(const std::vector<Tensor>& parts, Tensor whole, const std::string& what) const {
    Tensor sum = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const Tensor next = i + 1 == parts.size() ? whole
                                                : layer.tensor(what + " sum " + std::to_string(i), Element::kFloat32,
                                                               layer.builder.result().program.spec(whole).shape);
      layer.write(Pass::kWeightGradient, ops::Add{sum, parts[i], next});
      sum = next;
    }
  }
};

QuantisedLinear::QuantisedLinear(Builder& builder, const std::string& name, std::int64_t rows, std::int64_t inputs,
                                 std::int64_t outputs, Bias bias, const InitialValues& weights,
                                 const InitialValues& biases)
    : QuantisedLinear(
          product_layer(builder, name, matmul_shape(rows, outputs, inputs), {outputs, inputs}, true, weights), bias,
          biases) {}

QuantisedLinear::QuantisedLinear(ProductLayer of, Bias bias, const InitialValues& biases)
    : shared_(std::make_shared<Shared>(Shared{std::move(of), {}, {}, {}, 0, {}, {}, {}})) {
  Shared& shared = *shared_;
  ProductLayer& layer = shared.layer;
  Builder& builder = layer.builder;
  const std::string& name = layer.name;
  const std::int64_t outputs = layer.shape.o;
  if (bias != Bias::kNone) shared.bias = builder.trained(name + ".bias", {outputs}, {outputs}, false, biases);
  shared.running = builder.running_range(name, 2);
  write_widths(layer, layer.quantised);
  layer.w = weight_operand(layer, Pass::kForward, "w", ops::by_output_channel());
  shared.bias_values = shared.bias.value;
  if (bias == Bias::kQuantised && layer.forward_width) {
    const Tensor range = layer.tensor("bias range", Element::kRange);
    layer.write(Pass::kForward, ops::Range{shared.bias.value, range, ops::one_group()});
    ops::Quantise quantise;
    quantise.x = shared.bias.value;
    quantise.grid = layer.tensor("bias grid", Element::kGrid);
    quantise.width = layer.forward_width;
    layer.write(Pass::kForward, ops::FitGrid{range, layer.forward_width, quantise.grid, layer.quantisation().min_scale,
                                             layer.quantisation().quantiser});
    quantise.codes = layer.tensor("bias codes", codes_element(layer.widest.forward), {outputs});
    layer.write(Pass::kForward, quantise);
    shared.bias_values = layer.tensor("bias values", Element::kFloat32, {outputs});
    layer.write(Pass::kForward, ops::Dequantise{quantise.result(), shared.bias_values});
  }
  // Recorded before any use, so that it is written behind all of them.
  builder.backward([all = shared_] {
    if (all->uses < 2) return;
    all->add_up(all->weight_parts, all->layer.weight_gradient, "dw");
    if (all->bias.value) all->add_up(all->bias_parts, all->bias.gradient, "dbias");
  });
}

Value* QuantisedLinear::operator()(Value* x) {
  Shared& shared = *shared_;
  ProductLayer use = shared.layer;
  Builder& builder = use.builder;
  use.use = " " + std::to_string(shared.uses++);
  use.x = input_operand(use, x, shared.running);
  const ops::Contraction over = ops::conv_forward(use.shape);
  Tensor y = product(use, over, use.x, use.w, shared.bias_values ? "products" : "y");
  if (shared.bias_values) {
    const Tensor products = y;
    y = use.samples("y", Element::kFloat32, over.out_shape());
    use.write(Pass::kForward, ops::AddBias{products, shared.bias_values, y});
  }
  Value* result = builder.value(use.name, y, use.shape.h, use.shape.w, use.shape.o);
  builder.backward([all = shared_, use, x, result]() mutable {
    Builder& b = use.builder;
    const Operand g = gradient_operand(use, b.gradient(result).tensor);
    use.weight_gradient = all->part_of(use.weight_gradient, "dw", use.use);
    product(use, ops::conv_weight_gradient(use.shape), use.x, g, "dw");
    all->weight_parts.push_back(use.weight_gradient);
    if (all->bias.value) {
      const Tensor dy = values_of(use, Pass::kWeightGradient, g, "dy values");
      const Tensor bound = b.magnitude_of(use.name, "dy magnitude" + use.use, Pass::kWeightGradient, dy);
      const Tensor dbias = all->part_of(all->bias.gradient, "dbias", use.use);
      use.write(Pass::kWeightGradient, ops::BiasGradient{dy, bound, dbias});
      all->bias_parts.push_back(dbias);
    }
    if (!x->wants_gradient && all->error) return;
    if (!all->error) {
      const bool needed = x->wants_gradient || all->uses > 1;
      all->error = needed ? error_operand(all->layer) : all->layer.w;
      report_step_bounds(all->layer, *all->error);
    }
    if (!x->wants_gradient) return;
    const ops::Contraction error = ops::conv_error(use.shape);
    const Operand w = *all->error;
    const Tensor dx = product(use, error, g, w, "dx");
    b.contribute(
        x, {dx, [use, error, g, w] { return bound_of(use, error, g, w, "dx bound", error.shape.error_depth()); }});
  });
  return result;
}

}  // namespace bitcycle::builder
