// SPDX-License-Identifier: Apache-2.0
// Attention: two products of activations with a softmax between them (docs/numerics.md, 6.11 and 6.14).
#include <cmath>
#include <stdexcept>

#include "nn/builder/quantised_product.h"
#include "nn/builder/transformer.h"
#include "nn/models/tensor_id.h"

namespace bitcycle::builder {
namespace {

/// One of the two products, with its widths.
struct PairLayer {
  Builder& builder;
  std::string name;
  ops::PairShape shape;
  LayerWidths widest;
  Tensor forward_width, gradient_width;
  bool quantised = true;  // false: float32 whatever the schedule says, and its running ranges stay 0

  Tensor tensor(const std::string& what, Element element, Lifetime lifetime = Lifetime::kStep) const {
    return builder.tensor(name, what, element, {}, lifetime);
  }
  /// Of rows and columns as a fully connected layer writes them, or of pairs.
  std::vector<std::int64_t> extents(std::int64_t size, bool pairs) const {
    const ops::PairShape& s = shape;
    if (pairs) return {s.samples * s.heads, s.m, s.n};
    return {s.samples, 1, size / (s.samples * s.heads * s.d), s.heads * s.d};
  }
  template <typename Op>
  void write(Pass pass, const Op& op) const {
    builder.write(name, pass, op);
  }
  const QuantisationOptions& quantisation() const { return builder.options().quantisation; }
};

/// An operand of either product: codes, or values.
struct PairOperand {
  ops::Quantised codes;
  BitWidth widest = BitWidth::float32();
  Tensor values;
  bool pairs = false;
  bool is_integer() const { return static_cast<bool>(codes.codes); }
};

PairLayer pair_layer(Builder& builder, const std::string& name, const ops::PairShape& shape, bool quantised) {
  const LayerWidths float32{BitWidth::float32(), BitWidth::float32()};
  PairLayer layer{builder, name, shape, quantised ? builder.options().widest(name) : float32, {}, {}, quantised};
  const auto width = [&](const char* what, BitWidth widest) {
    return widest.is_integer() ? layer.tensor(what, Element::kBitWidth, Lifetime::kInput) : Tensor{};
  };
  layer.forward_width = width("forward width", layer.widest.forward);
  if (builder.training()) layer.gradient_width = width("gradient width", layer.widest.gradient);
  if (quantised) builder.result().layers.push_back({name, layer.forward_width, layer.gradient_width});
  return layer;
}

/// side: "lhs" or "rhs".
PairOperand forward_operand(const PairLayer& layer, Tensor x, const std::string& side, bool pairs, Tensor known_range) {
  Builder& builder = layer.builder;
  const Tensor running = builder.running_range(layer.name, 2, "quantize_" + side);
  PairOperand operand;
  operand.values = x;
  operand.pairs = pairs;
  operand.widest = layer.widest.forward;
  Tensor range = known_range;
  if (builder.training() && layer.quantised) {
    if (!range) {
      range = layer.tensor(side + " range", Element::kRange, Lifetime::kReport);
      layer.write(Pass::kForward, ops::PairRange{x, layer.shape, true, range});
    }
    layer.write(Pass::kForward, ops::RunningRange{range, running});
    builder.result().watches.push_back({Watch::What::kRange, range, side + " of " + layer.name, false});
  }
  if (!layer.forward_width) return operand;
  ops::Quantise quantise;
  quantise.x = x;
  quantise.width = layer.forward_width;
  quantise.grid =
      layer.tensor(side + " grid", Element::kGrid, builder.training() ? Lifetime::kReport : Lifetime::kStep);
  const QuantisationOptions& options = layer.quantisation();
  if (builder.training()) {
    layer.write(Pass::kForward,
                ops::FitGrid{range, quantise.width, quantise.grid, options.min_scale, options.quantiser});
    builder.result().grids.push_back(quantise.grid);
  } else {
    layer.write(Pass::kForward,
                ops::RunningGrid{running, quantise.width, quantise.grid, options.min_scale, options.quantiser});
  }
  quantise.codes = builder.samples(layer.name, side + " codes", codes_element(operand.widest),
                                   builder.result().program.spec(x).shape);
  layer.write(Pass::kForward, quantise);
  operand.codes = quantise.result();
  return operand;
}

/// The gradient at the product's result, whose codes both backward products multiply with.
PairOperand backward_operand(const PairLayer& layer, Tensor dy, bool pairs) {
  Builder& builder = layer.builder;
  PairOperand operand;
  operand.values = dy;
  operand.pairs = pairs;
  operand.widest = layer.widest.gradient;
  const Tensor range = layer.tensor("dy range", Element::kRange, Lifetime::kReport);
  if (pairs) {
    layer.write(Pass::kError, ops::PairRange{dy, layer.shape, false, range});
  } else {
    layer.write(Pass::kError, ops::Range{dy, range, ops::one_group()});
  }
  builder.result().watches.push_back({Watch::What::kRange, range, "gradient at the output of " + layer.name, false});
  if (!layer.gradient_width) return operand;
  ops::Quantise quantise;
  quantise.x = dy;
  quantise.width = layer.gradient_width;
  quantise.grid = layer.tensor("dy grid", Element::kGrid, Lifetime::kReport);
  const QuantisationOptions& options = layer.quantisation();
  layer.write(Pass::kError, ops::FitGrid{range, quantise.width, quantise.grid, options.min_scale,
                                         options.zero_on_grid ? kAffineWithZero : options.quantiser});
  quantise.codes =
      builder.samples(layer.name, "dy codes", codes_element(operand.widest), builder.result().program.spec(dy).shape);
  if (options.stochastic) {
    quantise.rounding = ops::Quantise::Rounding::kStochastic;
    quantise.step = builder.result().step;
    quantise.seed = builder.options().seed;
    quantise.tensor_id = tensor_id(layer.name);
  }
  layer.write(Pass::kError, quantise);
  operand.codes = quantise.result();
  builder.result().grids.push_back(quantise.grid);
  return operand;
}

Tensor values_of(const PairLayer& layer, Pass pass, const PairOperand& operand, const std::string& what) {
  if (!operand.is_integer()) return operand.values;
  const Tensor values = layer.builder.samples(layer.name, what, Element::kFloat32,
                                              layer.builder.result().program.spec(operand.codes.codes).shape);
  layer.write(pass, ops::Dequantise{operand.codes, values});
  return values;
}

Tensor pair_product(const PairLayer& layer, Pass pass, ops::PairForm form, const PairOperand& lhs,
                    const PairOperand& rhs, const std::string& what) {
  Builder& builder = layer.builder;
  const ops::PairContraction over{form, layer.shape};
  const auto extents = layer.extents(over.out_size(), form == ops::PairForm::kPairs);
  const auto result = [&](const std::string& of, Element element) {
    return builder.samples(layer.name, what + of, element, extents);
  };
  const Tensor y = result("", Element::kFloat32);
  if (!lhs.is_integer() || !rhs.is_integer()) {
    const Tensor left = values_of(layer, pass, lhs, what + " lhs values"),
                 right = values_of(layer, pass, rhs, what + " rhs values");
    layer.write(pass, ops::PairFloatProduct{left, right, over, y});
    return y;
  }
  // Codes below 8 bits lie in bytes, of which no more is known where the program is checked.
  const auto in_bytes = [](BitWidth width) { return width.bits() < 8 ? BitWidth::integer(8) : width; };
  ops::PairProduct exact{lhs.codes, rhs.codes, over,
                         result(" sums", ops::sum_element(in_bytes(lhs.widest), in_bytes(rhs.widest), over.depth()))};
  layer.write(pass, exact);
  if (builder.options().accumulators) {
    layer.write(pass, ops::PairProduct{lhs.codes, rhs.codes, over, result(" accumulators", Element::kInt128)});
  }
  layer.write(pass, ops::PairRescale{lhs.codes, rhs.codes, over, exact.sums, y});
  return y;
}

}  // namespace

Value* attention(Builder& builder, Value* q, Value* k, Value* v, const AttentionSpec& spec) {
  using Form = ops::PairForm;
  const std::int64_t samples = builder.batch(), t = spec.time_steps, d = q->c / spec.heads;
  if (q->c % spec.heads != 0) throw std::invalid_argument("the width of attention is no multiple of its heads");
  const ops::PairShape shape{samples, spec.heads, t, t, d, true};
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const auto range_of = [&](Value* x) { return builder.training() ? builder.range_of(x) : Tensor{}; };

  const PairLayer qk = pair_layer(builder, spec.name + ".qk", shape, spec.quantised);
  const PairOperand rows = forward_operand(qk, q->tensor, "lhs", false, range_of(q));
  const PairOperand columns = forward_operand(qk, k->tensor, "rhs", false, range_of(k));
  const Tensor scores = pair_product(qk, Pass::kForward, Form::kPairs, rows, columns, "y");
  const auto pair_extents = qk.extents(0, true);
  const Tensor softmax = builder.samples(spec.name, "probabilities", Element::kFloat32, pair_extents);
  builder.write(spec.name, Pass::kForward, ops::PairSoftmax{scores, shape, scale, softmax});
  Value* probabilities = builder.value(spec.name, softmax, t, t, 1);
  // Recorded before the dropout's, so that it is written behind it.
  builder.backward([&builder, qk, rows, columns, q, k, probabilities, softmax, shape, scale, spec, pair_extents] {
    const Tensor dx = builder.samples(spec.name, "dscores", Element::kFloat32, pair_extents);
    builder.write(spec.name, Pass::kError,
                  ops::PairSoftmaxGradient{softmax, builder.gradient(probabilities).tensor, shape, scale, dx});
    const PairOperand g = backward_operand(qk, dx, true);
    builder.contribute(k, {pair_product(qk, Pass::kWeightGradient, Form::kColumns, g, rows, "drhs"), {}});
    builder.contribute(q, {pair_product(qk, Pass::kError, Form::kRows, g, columns, "dlhs"), {}});
  });
  Value* dropped = dropout(builder, probabilities, spec.name + ".dropout", spec.dropout);

  const PairLayer pv = pair_layer(builder, spec.name + ".pv", shape, spec.quantised);
  const PairOperand pairs = forward_operand(pv, dropped->tensor, "lhs", true, {});
  const PairOperand values = forward_operand(pv, v->tensor, "rhs", false, range_of(v));
  Value* y = builder.value(spec.name, pair_product(pv, Pass::kForward, Form::kRows, pairs, values, "y"), 1, t, q->c);

  builder.backward([&builder, pv, pairs, values, v, dropped, y] {
    const PairOperand g = backward_operand(pv, builder.gradient(y).tensor, false);
    builder.contribute(v, {pair_product(pv, Pass::kWeightGradient, Form::kColumns, pairs, g, "drhs"), {}});
    builder.contribute(dropped, {pair_product(pv, Pass::kError, Form::kPairs, g, values, "dlhs"), {}});
  });
  return y;
}

}  // namespace bitcycle::builder
