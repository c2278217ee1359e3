// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/rows.h"

#include <algorithm>

namespace bitcycle::ops {
namespace {

std::int64_t rows_of(const TensorSpec& spec) { return spec.shape.front(); }
std::int64_t row_size(const TensorSpec& spec) { return spec.size() / spec.shape.front(); }

}  // namespace

void check(const Slice& op, const Operands& operands) {
  const TensorSpec &x = operands.of(op.x, "x"), &y = operands.of(op.y, "y");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  if (row_size(x) != row_size(y)) operands.fail("rows of x and y have different sizes");
  if (op.first < 0 || op.first + rows_of(y) > rows_of(x)) {
    operands.fail("rows from " + std::to_string(op.first) + " on are taken; x has " + std::to_string(rows_of(x)));
  }
}

void run(const Slice& op, const StepMemory& memory) {
  const std::int64_t size = row_size(memory.spec(op.x));
  std::copy_n(memory.data<float>(op.x) + op.first * size, memory.spec(op.y).size(), memory.data<float>(op.y));
}

void check(const Concatenate& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  std::int64_t rows = 0;
  for (const Tensor part : op.parts) {
    const TensorSpec& of = operands.of(part, "parts");
    operands.require(part, "parts", Element::kFloat32, of.shape);
    if (row_size(of) != row_size(y)) operands.fail("rows of parts and y have different sizes");
    rows += rows_of(of);
  }
  if (rows != rows_of(y)) {
    operands.fail("the parts have " + std::to_string(rows) + " rows; y has " + std::to_string(rows_of(y)));
  }
}

void run(const Concatenate& op, const StepMemory& memory) {
  auto* y = memory.data<float>(op.y);
  for (const Tensor part : op.parts) y = std::copy_n(memory.data<float>(part), memory.spec(part).size(), y);
}

void check(const Store& op, const Operands& operands) {
  const auto& shape = operands.of(op.x, "x").shape;
  operands.require(op.x, "x", Element::kFloat32, shape);
  operands.require(op.state, "state", Element::kFloat32, operands.of(op.x, "x").size());
}

void run(const Store& op, const StepMemory& memory) {
  std::copy_n(memory.data<float>(op.x), memory.spec(op.x).size(), memory.data<float>(op.state));
}

}  // namespace bitcycle::ops
