// SPDX-License-Identifier: Apache-2.0
// conv: a convolution whose operands are quantised at the widths of its layer, or float32.
#include <memory>

#include "nn/builder/quantised_product.h"

namespace bitcycle::builder {
namespace {

/// Both backward products of the codes of dy.
void write_backward(const ProductLayer& conv, Value* input, Value* output) {
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
  auto conv = std::make_shared<ProductLayer>(
      product_layer(builder, spec.name, shape, {shape.o, shape.c_per_group(), shape.kh, shape.kw}, spec.quantised));
  const Tensor running = spec.quantised ? builder.running_range(spec.name) : Tensor{};
  write_widths(*conv, spec.quantised);

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
