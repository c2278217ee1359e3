// SPDX-License-Identifier: Apache-2.0
// conv: a convolution whose operands are quantised at the widths of its layer (docs/numerics.md, 2 to 5), or float32
// where the schedule says so (6.2). An integer operand that meets a float32 one is replaced by its values (1.5).
#include <memory>

#include "nn/builder/builder.h"
#include "nn/models/tensor_id.h"

namespace bitcycle::builder {
namespace {

/// An operand of a product: codes on a grid, or values with their range.
struct Operand {
  ops::Quantised codes;  // integer
  BitWidth widest;
  Tensor values;  // float32
  Tensor range;
  bool is_integer() const { return static_cast<bool>(codes.codes); }
};

/// What the forward pass leaves for the backward pass.
struct Conv {
  Builder& builder;
  std::string name;
  ConvShape shape;
  LayerWidths widest;
  Builder::Parameter weight;
  Tensor forward_width, gradient_width;
  Operand x, w;

  Tensor tensor(const std::string& what, Element element, std::vector<std::int64_t> extents = {},
                Lifetime lifetime = Lifetime::kStep) const {
    return builder.tensor(name, what, element, std::move(extents), lifetime);
  }
  template <typename Op>
  void write(Pass pass, const Op& op) const {
    builder.write(name, pass, op);
  }
  const QuantisationOptions& quantisation() const { return builder.options().quantisation; }
};

Element codes_element(BitWidth widest) {
  switch (widest.container()) {
    case Container::kUint8: return Element::kCodes8;
    case Container::kUint16: return Element::kCodes16;
    default: return Element::kCodes32;
  }
}

std::vector<std::int64_t> weight_shape(const ConvShape& s) { return {s.o, s.kh, s.kw, s.c_per_group()}; }

/// A tensor for the result of a product; the weight gradient's is the parameter's own.
Tensor result_of(const Conv& conv, const ops::Contraction& over, const std::string& what) {
  if (over.pass == Pass::kWeightGradient) return conv.weight.gradient;
  return conv.builder.samples(conv.name, what, Element::kFloat32, over.out_shape());
}

/// Codes to values where the other operand is float32; values as they are.
Tensor values_of(const Conv& conv, Pass pass, const Operand& operand, const std::string& what) {
  if (!operand.is_integer()) return operand.values;
  TensorSpec spec = conv.builder.result().program.spec(operand.codes.codes);
  const Tensor values = spec.sample_axis < 0 ? conv.tensor(what, Element::kFloat32, spec.shape)
                                             : conv.builder.samples(conv.name, what, Element::kFloat32, spec.shape);
  conv.write(pass, ops::Dequantise{operand.codes, values});
  return values;
}

/// Bound of the product's results, of each group of rhs, or of all.
Tensor bound_of(const Conv& conv, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
                const std::string& what, std::int64_t depth, std::vector<std::int64_t> extents = {}) {
  ops::ProductBound bound;
  (lhs.is_integer() ? bound.lhs_grid : bound.lhs_range) = lhs.is_integer() ? lhs.codes.grid : lhs.range;
  (rhs.is_integer() ? bound.rhs_grid : bound.rhs_range) = rhs.is_integer() ? rhs.codes.grid : rhs.range;
  bound.depth = depth;
  bound.rounds = !lhs.is_integer() || !rhs.is_integer();
  bound.bound = conv.tensor(what, Element::kFloat64, std::move(extents));
  conv.write(over.pass, bound);
  return bound.bound;
}

/// lhs x rhs: exact sums, the plain sums that the offsets need, and one rounding; or a float32 product.
Tensor product(const Conv& conv, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
               const std::string& what) {
  const Pass pass = over.pass;
  const Tensor y = result_of(conv, over, what);
  if (!lhs.is_integer() || !rhs.is_integer()) {
    ops::FloatProduct values;
    values.lhs = values_of(conv, pass, lhs, what + " lhs values");
    values.rhs = values_of(conv, pass, rhs, what + " rhs values");
    values.over = over;
    if (pass == Pass::kWeightGradient) {
      values.bound = bound_of(conv, over, lhs, rhs, what + " bound", over.shape.out_h() * over.shape.out_w());
    }
    values.y = y;
    conv.write(pass, values);
    return y;
  }
  const auto sums = [&](const std::string& of, Element element, const std::vector<std::int64_t>& extents,
                        bool of_samples) {
    return of_samples ? conv.builder.samples(conv.name, what + of, element, extents)
                      : conv.tensor(what + of, element, extents);
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
  conv.write(pass, exact);
  if (conv.builder.options().accumulators) {
    ops::Product wide = exact;
    wide.sums = sums(" accumulators", Element::kInt128, over.out_shape(), of_samples);
    conv.write(pass, wide);
  }
  using Side = ops::CodeSums::Side;
  ops::Rescale rescale;
  rescale.over = over;
  rescale.sums = exact.sums;
  if (rhs.codes.width) {  // signed codes have no offset
    rescale.lhs_sums = sums(" lhs sums", Element::kInt64, over.lhs_sums_shape(), of_samples);
    conv.write(pass, ops::CodeSums{Side::kLhs, lhs.codes, over, rescale.lhs_sums});
  }
  rescale.rhs_sums = sums(" rhs sums", Element::kInt64, over.rhs_sums_shape(), false);
  conv.write(pass, ops::CodeSums{Side::kRhs, rhs.codes, over, rescale.rhs_sums});
  rescale.lhs_grid = lhs.codes.grid;
  rescale.rhs_grid = rhs.codes.grid;
  rescale.y = y;
  conv.write(pass, rescale);
  return y;
}

/// The layer's input: in training on the grid of this step's range, in evaluation on that of the running one.
Operand input_operand(const Conv& conv, Value* x, Tensor running) {
  Builder& builder = conv.builder;
  Operand operand;
  operand.widest = conv.widest.forward;
  operand.values = x->tensor;
  if (builder.training()) {
    operand.range = builder.range_of(x);
    if (running) conv.write(Pass::kForward, ops::RunningRange{operand.range, running});
    builder.result().watches.push_back({Watch::What::kRange, operand.range, "input of " + conv.name, false});
  }
  if (!conv.forward_width) return operand;
  ops::Quantise quantise;
  quantise.x = x->tensor;
  quantise.grid = conv.tensor("x grid", Element::kGrid, {}, builder.training() ? Lifetime::kReport : Lifetime::kStep);
  quantise.width = conv.forward_width;
  if (builder.training()) {
    conv.write(Pass::kForward, ops::FitGrid{operand.range, conv.forward_width, quantise.grid,
                                            conv.quantisation().min_scale, conv.quantisation().quantiser});
    builder.result().grids.push_back(quantise.grid);
  } else {
    conv.write(Pass::kForward, ops::RunningGrid{running, conv.forward_width, quantise.grid,
                                                conv.quantisation().min_scale, conv.quantisation().quantiser});
  }
  quantise.codes =
      builder.samples(conv.name, "x codes", codes_element(operand.widest), {builder.batch(), x->h, x->w, x->c});
  conv.write(Pass::kForward, quantise);
  operand.codes = quantise.result();
  return operand;
}

/// Weights with one group an output or an input channel; float32 ones as they are.
Operand weight_operand(const Conv& conv, Pass pass, const std::string& what, const ops::Groups& groups) {
  const std::vector<std::int64_t> shape = weight_shape(conv.shape);
  const std::int64_t count = groups.count(shape);
  Operand operand;
  operand.widest = conv.widest.forward;
  operand.values = conv.weight.value;
  if (!conv.forward_width && !conv.builder.training()) return operand;
  operand.range = conv.tensor(what + " ranges", Element::kRange, {count});
  conv.write(pass, ops::Range{conv.weight.value, operand.range, groups});
  if (!conv.forward_width) return operand;
  ops::Quantise quantise;
  quantise.x = conv.weight.value;
  quantise.grid = conv.tensor(what + " grid", Element::kGrid, {count});
  quantise.width = conv.forward_width;
  quantise.groups = groups;
  conv.write(pass, ops::FitGrid{operand.range, conv.forward_width, quantise.grid, conv.quantisation().min_scale,
                                conv.quantisation().quantiser});
  quantise.codes = conv.tensor(what + " codes", codes_element(operand.widest), shape);
  conv.write(pass, quantise);
  operand.codes = quantise.result();
  return operand;
}

/// What the error pass multiplies with: the forward codes' values on one grid, or codes of their own (5).
Operand error_operand(const Conv& conv) {
  if (!conv.forward_width) return conv.w;
  if (conv.quantisation().error_weights == ErrorWeights::kRequantised) {
    return weight_operand(conv, Pass::kError, "error w", ops::by_input_channel(conv.shape.groups));
  }
  ops::ErrorCodes codes;
  codes.weights = conv.w.codes;
  codes.bits = conv.quantisation().error_grid_bits;
  codes.codes = conv.tensor("error w codes", Element::kInt32, weight_shape(conv.shape));
  codes.grid = conv.tensor("error w grid", Element::kGrid);
  conv.write(Pass::kError, codes);
  Operand operand;
  operand.codes = codes.result();
  operand.widest = BitWidth::integer(codes.bits);
  return operand;
}

Operand gradient_operand(const Conv& conv, Tensor dy) {
  Builder& builder = conv.builder;
  Operand operand;
  operand.widest = conv.widest.gradient;
  operand.values = dy;
  operand.range = conv.tensor("dy range", Element::kRange, {}, Lifetime::kReport);
  conv.write(Pass::kError, ops::Range{dy, operand.range, ops::one_group()});
  builder.result().watches.push_back(
      {Watch::What::kRange, operand.range, "gradient at the output of " + conv.name, false});
  if (!conv.gradient_width) return operand;
  ops::Quantise quantise;
  quantise.x = dy;
  quantise.grid = conv.tensor("dy grid", Element::kGrid, {}, Lifetime::kReport);
  quantise.width = conv.gradient_width;
  conv.write(Pass::kError,
             ops::FitGrid{operand.range, conv.gradient_width, quantise.grid, conv.quantisation().min_scale,
                          conv.quantisation().zero_on_grid ? kAffineWithZero : conv.quantisation().quantiser});
  quantise.codes = builder.samples(conv.name, "dy codes", codes_element(operand.widest),
                                   {builder.batch(), conv.shape.out_h(), conv.shape.out_w(), conv.shape.o});
  if (conv.quantisation().stochastic) {
    quantise.rounding = ops::Quantise::Rounding::kStochastic;
    quantise.step = builder.result().step;
    quantise.seed = builder.options().seed;
    quantise.tensor_id = tensor_id(conv.name + ".weight");
  }
  conv.write(Pass::kError, quantise);
  operand.codes = quantise.result();
  builder.result().grids.push_back(quantise.grid);
  return operand;
}

/// Whether min_scale was the step of the weights' forward codes, or of codes that the error pass has of its own.
void report_step_bounds(const Conv& conv, const Operand& error) {
  if (!conv.forward_width) return;
  ops::StepBounds op;
  op.grids.push_back(conv.w.codes.grid);
  if (error.codes.width && !(error.codes.grid == conv.w.codes.grid)) op.grids.push_back(error.codes.grid);
  op.bounds =
      conv.tensor("w step bounds", Element::kUint32, {static_cast<std::int64_t>(op.grids.size())}, Lifetime::kReport);
  conv.write(Pass::kForward, op);
  conv.builder.result().step_bounds.push_back(op.bounds);
}

/// Both backward products of the codes of dy.
void write_backward(const Conv& conv, Value* input, Value* output) {
  Builder& builder = conv.builder;
  const Operand g = gradient_operand(conv, builder.gradient(output).tensor);
  product(conv, ops::conv_weight_gradient(conv.shape), conv.x, g, "dw");
  if (!input->wants_gradient) return report_step_bounds(conv, conv.w);
  const ops::Contraction over = ops::conv_error(conv.shape);
  const Operand w = error_operand(conv);
  report_step_bounds(conv, w);
  const Tensor dx = product(conv, over, g, w, "dx");
  builder.contribute(
      input, {dx, [conv, over, g, w] { return bound_of(conv, over, g, w, "dx bound", over.shape.error_depth()); }});
}

}  // namespace

Value* conv(Builder& builder, Value* x, const ConvSpec& spec) {
  ConvShape shape;
  shape.n = builder.batch();
  shape.h = x->h;
  shape.w = x->w;
  shape.c = x->c;
  shape.o = spec.channels;
  shape.kh = shape.kw = spec.kernel;
  shape.stride = spec.stride;
  shape.padding = spec.padding;
  shape.groups = spec.groups;
  check_shape(shape);
  const LayerWidths float32{BitWidth::float32(), BitWidth::float32()};
  const LayerWidths widths = spec.quantised ? builder.options().widest(spec.name) : float32;
  auto conv = std::make_shared<Conv>(Conv{builder, spec.name, shape, widths, {}, {}, {}, {}, {}});
  conv->weight = builder.trained(spec.name + ".weight", {shape.o, shape.c_per_group(), shape.kh, shape.kw},
                                 weight_shape(shape), true);
  const Tensor running = spec.quantised ? builder.running_range(spec.name) : Tensor{};
  const auto width = [&](const char* what, BitWidth widest) {
    return widest.is_integer() ? conv->tensor(what, Element::kBitWidth, {}, Lifetime::kInput) : Tensor{};
  };
  conv->forward_width = width("forward width", conv->widest.forward);
  if (builder.training()) conv->gradient_width = width("gradient width", conv->widest.gradient);
  if (spec.quantised) builder.result().layers.push_back({spec.name, conv->forward_width, conv->gradient_width});

  conv->x = input_operand(*conv, x, running);
  conv->w = weight_operand(*conv, Pass::kForward, "w", ops::by_output_channel());
  const ops::Contraction over = ops::conv_forward(shape);
  Value* y =
      builder.value(spec.name, product(*conv, over, conv->x, conv->w, "y"), shape.out_h(), shape.out_w(), shape.o);
  y->channel_bound = [conv, over] {
    return bound_of(*conv, over, conv->x, conv->w, "y bound", over.shape.forward_depth(), {over.shape.o});
  };
  builder.backward([conv, x, y] { write_backward(*conv, x, y); });
  return y;
}

}  // namespace bitcycle::builder
