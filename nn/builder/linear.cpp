// SPDX-License-Identifier: Apache-2.0
// linear: a fully connected layer in float32; softmax_loss: labels and loss of a classifier.
#include "nn/builder/builder.h"

namespace bitcycle::builder {

Value* linear(Builder& builder, Value* x, const std::string& name, std::int64_t outputs) {
  const std::int64_t inputs = x->h * x->w * x->c;
  if (x->h * x->w != 1) throw std::logic_error(name + ": a linear layer reads one position a sample");
  const ConvShape shape = matmul_shape(builder.batch(), outputs, inputs);
  const auto weight = builder.trained(name + ".weight", {outputs, inputs}, {outputs, 1, 1, inputs});
  const auto bias = builder.trained(name + ".bias", {outputs}, {outputs});
  const std::vector<std::int64_t> out{builder.batch(), 1, 1, outputs};
  const Tensor products = builder.samples(name, "products", Element::kFloat32, out);
  const Tensor y = builder.samples(name, "y", Element::kFloat32, out);
  builder.write(name, Pass::kForward,
                ops::FloatProduct{x->tensor, weight.value, ops::conv_forward(shape), {}, products});
  builder.write(name, Pass::kForward, ops::AddBias{products, bias.value, y});
  Value* result = builder.value(name, y, 1, 1, outputs);
  builder.backward([&builder, x, result, name, weight, bias, shape] {
    const Tensor dy = builder.gradient(result).tensor;
    if (x->wants_gradient) {
      const Tensor dx = builder.samples(name, "dx", Element::kFloat32, {builder.batch(), x->h, x->w, x->c});
      builder.write(name, Pass::kError, ops::FloatProduct{dy, weight.value, ops::conv_error(shape), {}, dx});
      builder.contribute(x, {dx, {}});
    }
    // fl(x * dy) of a sample is at most max|x| * max|dy| (docs/numerics.md, 6.2).
    const Pass pass = Pass::kWeightGradient;
    ops::ProductBound bound;
    bound.lhs_magnitude = builder.magnitude_of(name, "x magnitude", pass, x->tensor);
    bound.rhs_magnitude = builder.magnitude_of(name, "dy magnitude", pass, dy);
    bound.depth = 1;
    bound.bound = builder.tensor(name, "dw bound", Element::kFloat64);
    builder.write(name, pass, bound);
    builder.write(name, pass,
                  ops::FloatProduct{x->tensor, dy, ops::conv_weight_gradient(shape), bound.bound, weight.gradient});
    builder.write(name, pass, ops::BiasGradient{dy, bound.rhs_magnitude, bias.gradient});
  });
  return result;
}

void softmax_loss(Builder& builder, Value* logits) {
  NetworkProgram& result = builder.result();
  result.classes = logits->c;
  result.logits = logits->tensor;
  result.loss = builder.tensor("", "loss", Element::kLoss, {}, Lifetime::kReport);
  ops::SoftmaxLoss op{logits->tensor, result.labels, result.loss, {}, {}};
  const std::vector<std::int64_t> shape = result.program.spec(logits->tensor).shape;
  if (builder.training()) {
    op.dlogits = builder.samples(logits->layer, "dy", Element::kFloat32, shape);
  } else {
    const std::int64_t rows = result.program.spec(logits->tensor).size() / shape.back();
    op.losses = builder.samples("", "losses", Element::kFloat32, {rows}, Lifetime::kReport);
    result.losses = op.losses;
  }
  builder.write("loss", Pass::kForward, op);
  if (builder.training()) {
    const Tensor position = builder.tensor("", "logits not finite", Element::kInt64, {}, Lifetime::kReport);
    builder.write("loss", Pass::kForward, ops::FindNonFinite{{logits->tensor}, position});
    result.watches.push_back({Watch::What::kPosition, position, "output of " + logits->layer, false});
    result.watches.push_back({Watch::What::kLoss, result.loss, "loss", false});
  }
  builder.backward([&builder, logits, op] { builder.contribute(logits, {op.dlogits, {}}); });
}

}  // namespace bitcycle::builder
