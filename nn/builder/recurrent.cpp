// SPDX-License-Identifier: Apache-2.0
#include "nn/builder/recurrent.h"

namespace bitcycle::builder {
namespace {

const std::vector<std::int64_t>& shape_of(Builder& builder, Tensor tensor) {
  return builder.result().program.spec(tensor).shape;
}
const std::string& name_of(Builder& builder, Tensor tensor) { return builder.result().program.spec(tensor).name; }

/// An evaluation reads other streams, so it has a state of its own, which is no part of the training's.
std::string carried_name(const Builder& builder, const std::string& name) {
  return builder.training() ? name : "evaluation " + name;
}

}  // namespace

void tokens(Builder& builder, std::int64_t rows) {
  NetworkProgram& result = builder.result();
  result.tokens = builder.samples("", "tokens", Element::kInt32, {rows}, Lifetime::kInput);
  result.labels = builder.samples("", "labels", Element::kInt32, {rows}, Lifetime::kInput);
}

Value* embedding(Builder& builder, const std::string& name, std::int64_t words, std::int64_t size,
                 const InitialValues& initial) {
  const Tensor tokens = builder.result().tokens;
  const std::int64_t rows = shape_of(builder, tokens).front();
  const auto table = builder.trained(name + ".weight", {words, size}, {words, 1, 1, size}, false, initial);
  const Tensor y = builder.samples(name, "y", Element::kFloat32, {rows, 1, 1, size});
  builder.write(name, Pass::kForward, ops::Gather{table.value, tokens, y});
  Value* result = builder.value(name, y, 1, 1, size);
  builder.backward([&builder, name, table, tokens, result] {
    builder.write(name, Pass::kWeightGradient,
                  ops::GatherGradient{tokens, builder.gradient(result).tensor, table.gradient});
  });
  return result;
}

std::vector<Value*> split_rows(Builder& builder, Value* x, std::int64_t parts) {
  std::vector<std::int64_t> shape = shape_of(builder, x->tensor);
  const std::string name = name_of(builder, x->tensor);
  shape.front() /= parts;
  std::vector<Value*> values;
  for (std::int64_t part = 0; part < parts; ++part) {
    const Tensor y = builder.samples(name, std::to_string(part), Element::kFloat32, shape);
    builder.write(x->layer, Pass::kForward, ops::Slice{x->tensor, part * shape.front(), y});
    values.push_back(builder.value(x->layer, y, x->h, x->w, x->c));
  }
  builder.backward([&builder, x, values, name] {
    ops::Concatenate all;
    for (Value* value : values) all.parts.push_back(builder.gradient(value).tensor);
    all.y = builder.samples(name, "gradient", Element::kFloat32, shape_of(builder, x->tensor));
    builder.write(x->layer, Pass::kError, all);
    builder.contribute(x, {all.y, {}});
  });
  return values;
}

Value* concatenate(Builder& builder, const std::string& layer, const std::vector<Value*>& parts) {
  ops::Concatenate all;
  for (const Value* part : parts) all.parts.push_back(part->tensor);
  std::vector<std::int64_t> shape = shape_of(builder, parts.front()->tensor);
  const std::int64_t rows = shape.front();
  shape.front() *= static_cast<std::int64_t>(parts.size());
  all.y = builder.samples(layer, "outputs", Element::kFloat32, shape);
  builder.write(layer, Pass::kForward, all);
  Value* y = builder.value(layer, all.y, parts.front()->h, parts.front()->w, parts.front()->c);
  builder.backward([&builder, layer, parts, y, rows] {
    const Tensor dy = builder.gradient(y).tensor;
    for (std::size_t part = 0; part < parts.size(); ++part) {
      const Tensor dx = builder.samples(layer, "outputs gradient " + std::to_string(part), Element::kFloat32,
                                        shape_of(builder, parts[part]->tensor));
      builder.write(layer, Pass::kError, ops::Slice{dy, static_cast<std::int64_t>(part) * rows, dx});
      builder.contribute(parts[part], {dx, {}});
    }
  });
  return y;
}

Value* carried(Builder& builder, const std::string& name, std::int64_t size) {
  const std::int64_t batch = builder.batch();
  if (builder.training()) {
    builder.result().parameters.add_state(name, {batch, size});
    builder.result().parameter_slices.push_back({name, 0});
  }
  const std::string state_name = carried_name(builder, name);
  builder.result().carried.push_back(state_name);
  const Tensor state = builder.tensor("", state_name, Element::kFloat32, {batch, 1, 1, size}, Lifetime::kState);
  // A copy: the state itself becomes the next step's while the backward pass still reads what this one began with.
  const Tensor begin = builder.samples(name, "begin", Element::kFloat32, {batch, 1, 1, size});
  builder.write(name, Pass::kForward, ops::Slice{state, 0, begin});
  Value* value = builder.value(name, begin, 1, 1, size);
  value->wants_gradient = false;
  return value;
}

void store(Builder& builder, const std::string& name, Value* x) {
  builder.write(name, Pass::kForward,
                ops::Store{x->tensor, builder.result().program.find(carried_name(builder, name))});
}

LstmState lstm_cell(Builder& builder, const std::string& layer, const std::string& use, Value* x, Value* h,
                    Value* cell) {
  const std::vector<std::int64_t> shape{builder.batch(), 1, 1, cell->c};
  const auto samples = [&](const std::string& what, const std::vector<std::int64_t>& extents) {
    return builder.samples(layer, what + use, Element::kFloat32, extents);
  };
  ops::LstmCell op;
  op.x = x->tensor;
  op.h = h->tensor;
  op.cell = cell->tensor;
  op.gates = samples("gates", {builder.batch(), 1, 1, 4 * cell->c});
  op.next_cell = samples("cell", shape);
  op.squashed = samples("squashed cell", shape);
  op.output = samples("output", shape);
  builder.write(layer, Pass::kForward, op);
  const LstmState next{builder.value(layer, op.output, 1, 1, cell->c),
                       builder.value(layer, op.next_cell, 1, 1, cell->c)};
  builder.backward([&builder, layer, use, x, h, cell, next, op, shape] {
    ops::LstmCellGradient gradient;
    gradient.gates = op.gates;
    gradient.cell = op.cell;
    gradient.squashed = op.squashed;
    gradient.doutput = builder.gradient(next.output).tensor;
    if (!next.cell->contributions.empty()) gradient.dnext_cell = builder.gradient(next.cell).tensor;
    gradient.dgates =
        builder.samples(layer, "gates gradient" + use, Element::kFloat32, {builder.batch(), 1, 1, 4 * cell->c});
    gradient.dcell = builder.samples(layer, "cell gradient" + use, Element::kFloat32, shape);
    builder.write(layer, Pass::kError, gradient);
    builder.contribute(x, {gradient.dgates, {}});
    builder.contribute(h, {gradient.dgates, {}});
    builder.contribute(cell, {gradient.dcell, {}});
  });
  return next;
}

}  // namespace bitcycle::builder
