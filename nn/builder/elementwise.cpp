// SPDX-License-Identifier: Apache-2.0
// relu, add, max_pool, average_pool.
#include <stdexcept>

#include "nn/builder/builder.h"

namespace bitcycle::builder {
namespace {

std::vector<std::int64_t> shape_of(Builder& builder, const Value& value) {
  return builder.result().program.spec(value.tensor).shape;
}

}  // namespace

Value* relu(Builder& builder, Value* x) {
  const std::string name = builder.result().program.spec(x->tensor).name;
  const auto shape = shape_of(builder, *x);
  ops::Relu op;
  op.x = x->tensor;
  op.z = builder.samples(name, "relu", Element::kFloat32, shape);
  if (builder.training()) op.positive = builder.samples(name, "relu positive", Element::kBit, shape);
  builder.write(x->layer, Pass::kForward, op);
  Value* z = builder.value(x->layer, op.z, x->h, x->w, x->c);
  builder.backward([&builder, x, z, op, name, shape] {
    const Gradient dz = builder.gradient(z);
    const Tensor dx = builder.samples(name, "relu gradient", Element::kFloat32, shape);
    builder.write(x->layer, Pass::kError, ops::ReluGradient{dz.tensor, op.positive, dx});
    builder.contribute(x, {dx, dz.bound});
  });
  return z;
}

Value* add(Builder& builder, Value* a, Value* b) {
  if (a->h != b->h || a->w != b->w || a->c != b->c) {
    throw std::logic_error("the shortcut of " + a->layer + " has another shape; it needs a projection");
  }
  const Tensor sum =
      builder.samples(builder.result().program.spec(a->tensor).name, "add", Element::kFloat32, shape_of(builder, *a));
  builder.write(a->layer, Pass::kForward, ops::Add{a->tensor, b->tensor, sum});
  Value* z = builder.value(a->layer, sum, a->h, a->w, a->c);
  builder.backward([&builder, a, b, z] {
    const Gradient dz = builder.gradient(z);
    builder.contribute(b, dz);
    builder.contribute(a, dz);
  });
  return z;
}

Value* max_pool(Builder& builder, Value* x, const std::string& name, const ops::PoolWindow& window) {
  const std::int64_t h = window.out(x->h), w = window.out(x->w);
  const Tensor pooled = builder.samples(name, "z", Element::kFloat32, {builder.batch(), h, w, x->c});
  builder.write(name, Pass::kForward, ops::MaxPool{x->tensor, pooled, window});
  Value* z = builder.value(name, pooled, h, w, x->c);
  builder.backward([&builder, x, z, name, window] {
    const Tensor dz = builder.gradient(z).tensor;
    const Tensor dx = builder.samples(name, "dx", Element::kFloat32, shape_of(builder, *x));
    builder.write(name, Pass::kError, ops::MaxPoolGradient{x->tensor, dz, dx, window});
    builder.contribute(x, {dx, {}});
  });
  return z;
}

Value* average_pool(Builder& builder, Value* x, const std::string& name) {
  const Tensor pooled = builder.samples(name, "z", Element::kFloat32, {builder.batch(), 1, 1, x->c});
  builder.write(name, Pass::kForward, ops::AveragePool{x->tensor, pooled});
  Value* z = builder.value(name, pooled, 1, 1, x->c);
  builder.backward([&builder, x, z, name] {
    const Tensor dpooled = builder.gradient(z).tensor;
    const Tensor dx = builder.samples(name, "dx", Element::kFloat32, shape_of(builder, *x));
    builder.write(name, Pass::kError, ops::AveragePoolGradient{dpooled, dx});
    builder.contribute(x, {dx, [&builder, name, dpooled] {
                             return builder.magnitude_of(name, "dz magnitude", Pass::kError, dpooled);
                           }});
  });
  return z;
}

}  // namespace bitcycle::builder
