// SPDX-License-Identifier: Apache-2.0
#include "nn/builder/transformer.h"

#include <cmath>

#include "nn/models/tensor_id.h"

namespace bitcycle::builder {
namespace {

const std::vector<std::int64_t>& shape_of_tensor(Builder& builder, Tensor tensor) {
  return builder.result().program.spec(tensor).shape;
}

}  // namespace

Value* layer_norm(Builder& builder, Value* x, const std::string& name) {
  const auto gamma = builder.trained(name + ".weight", {x->c}, {x->c});
  const auto beta = builder.trained(name + ".bias", {x->c}, {x->c});
  const std::vector<std::int64_t> shape = shape_of_tensor(builder, x->tensor);
  ops::LayerNorm op;
  op.x = x->tensor;
  op.gamma = gamma.value;
  op.beta = beta.value;
  op.statistics = builder.samples(name, "statistics", Element::kFloat32, {shape.front(), x->h * x->w, 2});
  op.y = builder.samples(name, "y", Element::kFloat32, shape);
  builder.write(name, Pass::kForward, op);
  Value* y = builder.value(name, op.y, x->h, x->w, x->c);
  builder.backward([&builder, x, y, name, op, shape, gamma, beta] {
    const Gradient dy = builder.gradient(y);
    const Tensor bound = builder.magnitude_of(name, "dy magnitude", Pass::kError, dy.tensor);
    builder.write(
        name, Pass::kWeightGradient,
        ops::LayerNormParameterGradient{op.x, op.statistics, dy.tensor, bound, gamma.gradient, beta.gradient});
    const Tensor dx = builder.samples(name, "dx", Element::kFloat32, shape);
    builder.write(name, Pass::kError, ops::LayerNormGradient{op.x, op.statistics, op.gamma, dy.tensor, dx});
    builder.contribute(x, {dx, {}});
  });
  return y;
}

Value* dropout(Builder& builder, Value* x, const std::string& name, double probability) {
  if (!builder.training() || probability == 0.0) return x;
  const std::vector<std::int64_t> shape = shape_of_tensor(builder, x->tensor);
  ops::Dropout op;
  op.x = x->tensor;
  op.step = builder.result().step;
  op.y = builder.samples(name, "y", Element::kFloat32, shape);
  op.rule = dropout_rule(probability);
  op.seed = builder.options().seed;
  op.tensor_id = tensor_id(name);
  builder.write(name, Pass::kForward, op);
  Value* y = builder.value(name, op.y, x->h, x->w, x->c);
  builder.backward([&builder, x, y, name, op, shape] {
    ops::Dropout gradient = op;
    gradient.x = builder.gradient(y).tensor;
    gradient.y = builder.samples(name, "dx", Element::kFloat32, shape);
    builder.write(name, Pass::kError, gradient);
    builder.contribute(x, {gradient.y, {}});
  });
  return y;
}

Value* add_positions(Builder& builder, Value* x, const std::string& name, std::int64_t time_steps) {
  const std::vector<std::int64_t> shape = shape_of_tensor(builder, x->tensor);
  ops::AddPositions op;
  op.x = x->tensor;
  op.factor = static_cast<float>(std::sqrt(static_cast<double>(x->c)));
  op.time_steps = time_steps;
  op.y = builder.samples(name, "y", Element::kFloat32, shape);
  builder.write(name, Pass::kForward, op);
  Value* y = builder.value(name, op.y, x->h, x->w, x->c);
  builder.backward([&builder, x, y, name, op, shape] {
    const Tensor dx = builder.samples(name, "dx", Element::kFloat32, shape);
    builder.write(name, Pass::kError, ops::Scale{builder.gradient(y).tensor, op.factor, dx});
    builder.contribute(x, {dx, {}});
  });
  return y;
}

TiedEmbedding tied_embedding(Builder& builder, const std::string& name, std::int64_t words, std::int64_t size) {
  const Tensor tokens = builder.result().tokens;
  const std::int64_t time_steps = shape_of_tensor(builder, tokens).front() / builder.batch();
  const std::vector<std::int64_t> shape{words, 1, 1, size};
  TiedEmbedding tied;
  tied.table = builder.trained(name + ".weight", {words, size}, shape, false,
                               {InitialValues::Kind::kNormal, 1.0 / std::sqrt(static_cast<double>(size))});
  const Tensor y = builder.samples(name, "y", Element::kFloat32, {builder.batch(), 1, time_steps, size});
  builder.write(name, Pass::kForward, ops::Gather{tied.table.value, tokens, y});
  tied.rows = builder.value(name, y, 1, time_steps, size);
  if (tied.table.gradient) tied.head_gradient = builder.tensor(name, "head gradient", Element::kFloat32, shape);
  builder.backward([&builder, name, tokens, tied, shape] {
    const Tensor lookup = builder.tensor(name, "lookup gradient", Element::kFloat32, shape);
    builder.write(name, Pass::kWeightGradient, ops::GatherGradient{tokens, builder.gradient(tied.rows).tensor, lookup});
    builder.write(name, Pass::kWeightGradient, ops::Add{lookup, tied.head_gradient, tied.table.gradient});
  });
  return tied;
}

}  // namespace bitcycle::builder
