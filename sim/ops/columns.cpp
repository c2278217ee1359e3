// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/columns.h"

#include <algorithm>

namespace bitcycle::ops {
namespace {

std::int64_t matrix_columns(const TensorSpec& spec) { return spec.shape.back(); }
std::int64_t matrix_rows(const TensorSpec& spec) { return spec.size() / spec.shape.back(); }

}  // namespace

void check(const Transpose& op, const Operands& operands) {
  const TensorSpec &x = operands.of(op.x, "x"), &y = operands.of(op.y, "y");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  if (matrix_rows(x) != matrix_columns(y) || matrix_columns(x) != matrix_rows(y)) {
    operands.fail("y has not as many rows as x has columns, or the reverse");
  }
}

void run(const Transpose& op, const StepMemory& memory) {
  const std::int64_t columns = matrix_columns(memory.spec(op.x)), rows = memory.spec(op.x).size() / columns;
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  for (std::int64_t j = 0; j < rows; ++j) {
    for (std::int64_t i = 0; i < columns; ++i) y[i * rows + j] = x[j * columns + i];
  }
}

void check(const SliceColumns& op, const Operands& operands) {
  const TensorSpec &x = operands.of(op.x, "x"), &y = operands.of(op.y, "y");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  if (matrix_rows(x) != matrix_rows(y)) operands.fail("x and y have different numbers of rows");
  if (op.first < 0 || op.first + matrix_columns(y) > matrix_columns(x)) {
    operands.fail("columns from " + std::to_string(op.first) + " on are taken; x has " +
                  std::to_string(matrix_columns(x)));
  }
}

void run(const SliceColumns& op, const StepMemory& memory) {
  const std::int64_t all = memory.last_extent(op.x), count = memory.last_extent(op.y);
  const std::int64_t rows = memory.size(op.y) / count;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::copy_n(memory.data<float>(op.x) + r * all + op.first, count, memory.data<float>(op.y) + r * count);
  }
}

void check(const ConcatenateColumns& op, const Operands& operands) {
  const TensorSpec& y = operands.of(op.y, "y");
  operands.require(op.y, "y", Element::kFloat32, y.shape);
  std::int64_t columns = 0;
  for (const Tensor part : op.parts) {
    const TensorSpec& of = operands.of(part, "parts");
    operands.require(part, "parts", Element::kFloat32, of.shape);
    if (matrix_rows(of) != matrix_rows(y)) operands.fail("parts and y have different numbers of rows");
    columns += matrix_columns(of);
  }
  if (columns != matrix_columns(y)) {
    operands.fail("the parts have " + std::to_string(columns) + " columns; y has " + std::to_string(matrix_columns(y)));
  }
}

void run(const ConcatenateColumns& op, const StepMemory& memory) {
  const std::int64_t all = memory.last_extent(op.y), rows = memory.size(op.y) / all;
  std::int64_t first = 0;
  for (const Tensor part : op.parts) {
    const std::int64_t count = memory.last_extent(part);
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(memory.data<float>(part) + r * count, count, memory.data<float>(op.y) + r * all + first);
    }
    first += count;
  }
}

}  // namespace bitcycle::ops
