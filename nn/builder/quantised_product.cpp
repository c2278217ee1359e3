// SPDX-License-Identifier: Apache-2.0
#include "nn/builder/quantised_product.h"

#include "nn/models/tensor_id.h"

namespace bitcycle::builder {
namespace {

/// A tensor for the result of a product; the weight gradient's is the parameter's own.
Tensor result_of(const ProductLayer& layer, const ops::Contraction& over, const std::string& what) {
  if (over.pass == Pass::kWeightGradient) return layer.weight_gradient;
  return layer.samples(what, Element::kFloat32, over.out_shape());
}

}  // namespace

Element codes_element(BitWidth widest) {
  switch (widest.container()) {
    case Container::kUint8: return Element::kCodes8;
    case Container::kUint16: return Element::kCodes16;
    default: return Element::kCodes32;
  }
}

std::uint32_t ProductLayer::noise_id() const { return tensor_id(name + ".weight" + use); }

void write_widths(ProductLayer& layer, bool quantised) {
  const auto width = [&](const char* what, BitWidth widest) {
    return widest.is_integer() ? layer.tensor(what, Element::kBitWidth, {}, Lifetime::kInput) : Tensor{};
  };
  layer.forward_width = width("forward width", layer.widest.forward);
  if (layer.builder.training()) layer.gradient_width = width("gradient width", layer.widest.gradient);
  if (quantised) {
    layer.builder.result().layers.push_back({layer.name, layer.forward_width, layer.gradient_width});
  }
}

std::vector<std::int64_t> weight_shape(const ConvShape& s) { return {s.o, s.kh, s.kw, s.c_per_group()}; }

ProductLayer product_layer(Builder& builder, const std::string& name, const ConvShape& shape,
                           const std::vector<std::int64_t>& canonical_shape, bool quantised,
                           const InitialValues& initial) {
  const LayerWidths float32{BitWidth::float32(), BitWidth::float32()};
  const LayerWidths widths = quantised ? builder.options().widest(name) : float32;
  ProductLayer layer{builder, name, shape, widths, {}, {}, {}, {}, {}, {}, {}, quantised};
  layer.weight =
      builder.trained(name + ".weight", canonical_shape, weight_shape(shape), canonical_shape.size() == 4, initial);
  layer.weight_gradient = layer.weight.gradient;
  return layer;
}

ProductLayer product_layer(Builder& builder, const std::string& name, const ConvShape& shape,
                           const Builder::Parameter& weight, Tensor weight_gradient, bool quantised) {
  const LayerWidths float32{BitWidth::float32(), BitWidth::float32()};
  const LayerWidths widths = quantised ? builder.options().widest(name) : float32;
  return {builder, name, shape, widths, weight, weight_gradient, {}, {}, {}, {}, {}, quantised};
}

/// Codes to values where the other operand is float32; values as they are.
Tensor values_of(const ProductLayer& layer, Pass pass, const Operand& operand, const std::string& what) {
  if (!operand.is_integer()) return operand.values;
  TensorSpec spec = layer.builder.result().program.spec(operand.codes.codes);
  const Tensor values = spec.sample_axis < 0 ? layer.tensor(what, Element::kFloat32, spec.shape)
                                             : layer.samples(what, Element::kFloat32, spec.shape);
  layer.write(pass, ops::Dequantise{operand.codes, values});
  return values;
}

/// Bound of the product's results, of each group of rhs, or of all.
Tensor bound_of(const ProductLayer& layer, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
                const std::string& what, std::int64_t depth, std::vector<std::int64_t> extents) {
  ops::ProductBound bound;
  (lhs.is_integer() ? bound.lhs_grid : bound.lhs_range) = lhs.is_integer() ? lhs.codes.grid : lhs.range;
  (rhs.is_integer() ? bound.rhs_grid : bound.rhs_range) = rhs.is_integer() ? rhs.codes.grid : rhs.range;
  bound.depth = depth;
  bound.rounds = !lhs.is_integer() || !rhs.is_integer();
  bound.bound = layer.tensor(what, Element::kFloat64, std::move(extents));
  layer.write(over.pass, bound);
  return bound.bound;
}

/// lhs x rhs: exact sums, the plain sums that the offsets need, and one rounding; or a float32 product.
Tensor product(const ProductLayer& layer, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
               const std::string& what) {
  const Pass pass = over.pass;
  const Tensor y = result_of(layer, over, what);
  if (!lhs.is_integer() || !rhs.is_integer()) {
    ops::FloatProduct values;
    values.lhs = values_of(layer, pass, lhs, what + " lhs values");
    values.rhs = values_of(layer, pass, rhs, what + " rhs values");
    values.over = over;
    if (pass == Pass::kWeightGradient) {
      values.bound = bound_of(layer, over, lhs, rhs, what + " bound", over.shape.out_h() * over.shape.out_w());
    }
    values.y = y;
    layer.write(pass, values);
    return y;
  }
  const auto sums = [&](const std::string& of, Element element, const std::vector<std::int64_t>& extents,
                        bool of_samples) {
    return of_samples ? layer.samples(what + of, element, extents) : layer.tensor(what + of, element, extents);
  };
  const bool of_samples = pass != Pass::kWeightGradient;
  ops::Product exact;
  exact.lhs = lhs.codes;
  exact.rhs = rhs.codes;
  exact.over = over;
  // Codes below 8 bits lie in bytes, of which no more is known where the program is checked.
  const auto in_bytes = [](BitWidth width) {
    return width.is_integer() && width.bits() < 8 ? BitWidth::integer(8) : width;
  };
  exact.sums = sums(" sums", ops::sum_element(in_bytes(lhs.widest), in_bytes(rhs.widest), over.depth()),
                    over.out_shape(), of_samples);
  layer.write(pass, exact);
  if (layer.builder.options().accumulators) {
    ops::Product wide = exact;
    wide.sums = sums(" accumulators", Element::kInt128, over.out_shape(), of_samples);
    layer.write(pass, wide);
  }
  using Side = ops::CodeSums::Side;
  ops::Rescale rescale;
  rescale.over = over;
  rescale.sums = exact.sums;
  if (rhs.codes.width) {  // signed codes have no offset
    rescale.lhs_sums = sums(" lhs sums", Element::kInt64, over.lhs_sums_shape(), of_samples);
    layer.write(pass, ops::CodeSums{Side::kLhs, lhs.codes, over, rescale.lhs_sums});
  }
  rescale.rhs_sums = sums(" rhs sums", Element::kInt64, over.rhs_sums_shape(), false);
  layer.write(pass, ops::CodeSums{Side::kRhs, rhs.codes, over, rescale.rhs_sums});
  rescale.lhs_grid = lhs.codes.grid;
  rescale.rhs_grid = rhs.codes.grid;
  rescale.y = y;
  layer.write(pass, rescale);
  return y;
}

/// The layer's input: in training on the grid of this step's range, in evaluation on that of the running one.
Operand input_operand(const ProductLayer& layer, Value* x, Tensor running) {
  Builder& builder = layer.builder;
  Operand operand;
  operand.widest = layer.widest.forward;
  operand.values = x->tensor;
  if (builder.training()) {
    operand.range = builder.range_of(x);
    if (running) layer.write(Pass::kForward, ops::RunningRange{operand.range, running});
    builder.result().watches.push_back({Watch::What::kRange, operand.range, "input of " + layer.name, false});
  }
  if (!layer.forward_width) return operand;
  ops::Quantise quantise;
  quantise.x = x->tensor;
  quantise.grid = layer.tensor("x grid", Element::kGrid, {}, builder.training() ? Lifetime::kReport : Lifetime::kStep);
  quantise.width = layer.forward_width;
  if (builder.training()) {
    layer.write(Pass::kForward, ops::FitGrid{operand.range, layer.forward_width, quantise.grid,
                                             layer.quantisation().min_scale, layer.input_quantiser()});
    builder.result().grids.push_back(quantise.grid);
  } else {
    layer.write(Pass::kForward, ops::RunningGrid{running, layer.forward_width, quantise.grid,
                                                 layer.quantisation().min_scale, layer.input_quantiser()});
  }
  quantise.codes = layer.samples("x codes", codes_element(operand.widest), {layer.shape.n, x->h, x->w, x->c});
  layer.write(Pass::kForward, quantise);
  operand.codes = quantise.result();
  return operand;
}

/// Weights with one group an output or an input channel; float32 ones as they are.
Operand weight_operand(const ProductLayer& layer, Pass pass, const std::string& what, const ops::Groups& groups) {
  const std::vector<std::int64_t> shape = weight_shape(layer.shape);
  const std::int64_t count = groups.count(shape);
  Operand operand;
  operand.widest = layer.widest.forward;
  operand.values = layer.weight.value;
  if (!layer.forward_width && !layer.builder.training()) return operand;
  operand.range = layer.tensor(what + " ranges", Element::kRange, {count});
  layer.write(pass, ops::Range{layer.weight.value, operand.range, groups});
  if (!layer.forward_width) return operand;
  ops::Quantise quantise;
  quantise.x = layer.weight.value;
  quantise.grid = layer.tensor(what + " grid", Element::kGrid, {count});
  quantise.width = layer.forward_width;
  quantise.groups = groups;
  layer.write(pass, ops::FitGrid{operand.range, layer.forward_width, quantise.grid, layer.quantisation().min_scale,
                                 layer.quantisation().quantiser});
  quantise.codes = layer.tensor(what + " codes", codes_element(operand.widest), shape);
  layer.write(pass, quantise);
  operand.codes = quantise.result();
  return operand;
}

/// What the error pass multiplies with: the forward codes' values on one grid, or codes of their own (5).
Operand error_operand(const ProductLayer& layer) {
  if (!layer.forward_width) return layer.w;
  if (layer.quantisation().error_weights == ErrorWeights::kRequantised) {
    return weight_operand(layer, Pass::kError, "error w", ops::by_input_channel(layer.shape.groups));
  }
  ops::ErrorCodes codes;
  codes.weights = layer.w.codes;
  codes.bits = layer.quantisation().error_grid_bits;
  codes.codes = layer.tensor("error w codes", Element::kInt32, weight_shape(layer.shape));
  codes.grid = layer.tensor("error w grid", Element::kGrid);
  layer.write(Pass::kError, codes);
  Operand operand;
  operand.codes = codes.result();
  operand.widest = BitWidth::integer(codes.bits);
  return operand;
}

Operand gradient_operand(const ProductLayer& layer, Tensor dy) {
  Builder& builder = layer.builder;
  Operand operand;
  operand.widest = layer.widest.gradient;
  operand.values = dy;
  operand.range = layer.tensor("dy range", Element::kRange, {}, Lifetime::kReport);
  layer.write(Pass::kError, ops::Range{dy, operand.range, ops::one_group()});
  builder.result().watches.push_back(
      {Watch::What::kRange, operand.range, "gradient at the output of " + layer.name, false});
  if (!layer.gradient_width) return operand;
  ops::Quantise quantise;
  quantise.x = dy;
  quantise.grid = layer.tensor("dy grid", Element::kGrid, {}, Lifetime::kReport);
  quantise.width = layer.gradient_width;
  layer.write(Pass::kError, ops::FitGrid{operand.range, layer.gradient_width, quantise.grid,
                                         layer.quantisation().min_scale, layer.gradient_quantiser()});
  quantise.codes = layer.samples("dy codes", codes_element(operand.widest),
                                 {layer.shape.n, layer.shape.out_h(), layer.shape.out_w(), layer.shape.o});
  if (layer.quantisation().stochastic) {
    quantise.rounding = ops::Quantise::Rounding::kStochastic;
    quantise.step = builder.result().step;
    quantise.seed = builder.options().seed;
    quantise.tensor_id = layer.noise_id();
  }
  layer.write(Pass::kError, quantise);
  operand.codes = quantise.result();
  builder.result().grids.push_back(quantise.grid);
  return operand;
}

/// Whether min_scale was the step of the weights' forward codes, or of codes that the error pass has of its own.
void report_step_bounds(const ProductLayer& layer, const Operand& error) {
  if (!layer.forward_width) return;
  ops::StepBounds op;
  op.grids.push_back(layer.w.codes.grid);
  if (error.codes.width && !(error.codes.grid == layer.w.codes.grid)) op.grids.push_back(error.codes.grid);
  op.bounds =
      layer.tensor("w step bounds", Element::kUint32, {static_cast<std::int64_t>(op.grids.size())}, Lifetime::kReport);
  layer.write(Pass::kForward, op);
  layer.builder.result().step_bounds.push_back(op.bounds);
}

}  // namespace bitcycle::builder
