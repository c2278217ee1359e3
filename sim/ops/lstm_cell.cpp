// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/lstm_cell.h"

#include "sim/number/elementary.h"

namespace bitcycle::ops {
namespace {

/// The shape of one gate, from that of the cell.
std::vector<std::int64_t> four_times(std::vector<std::int64_t> shape) {
  shape.back() *= 4;
  return shape;
}

}  // namespace

void check(const LstmCell& op, const Operands& operands) {
  const auto& shape = operands.of(op.cell, "cell").shape;
  for (const Tensor of : {op.x, op.h, op.gates}) operands.require(of, "gates", Element::kFloat32, four_times(shape));
  for (const Tensor of : {op.cell, op.next_cell, op.squashed, op.output}) {
    operands.require(of, "cell", Element::kFloat32, shape);
  }
}

void run(const LstmCell& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.cell), rows = memory.size(op.cell) / c;
  const auto *x = memory.data<float>(op.x), *h = memory.data<float>(op.h), *cell = memory.data<float>(op.cell);
  auto *gates = memory.data<float>(op.gates), *next = memory.data<float>(op.next_cell),
       *squashed = memory.data<float>(op.squashed), *output = memory.data<float>(op.output);
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t j = 0; j < c; ++j) {
      const auto sum = [&](std::int64_t gate) {
        const std::int64_t at = n * 4 * c + gate * c + j;
        return x[at] + h[at];
      };
      const float i = sigmoid_f32(sum(0)), f = sigmoid_f32(sum(1)), g = tanh_f32(sum(2)), o = sigmoid_f32(sum(3));
      float* gate = gates + n * 4 * c + j;
      gate[0] = i;
      gate[c] = f;
      gate[2 * c] = g;
      gate[3 * c] = o;
      const std::int64_t e = n * c + j;
      const float kept = f * cell[e], added = i * g;
      next[e] = kept + added;
      squashed[e] = tanh_f32(next[e]);
      output[e] = o * squashed[e];
    }
  }
}

void check(const LstmCellGradient& op, const Operands& operands) {
  const auto& shape = operands.of(op.cell, "cell").shape;
  for (const Tensor of : {op.gates, op.dgates}) operands.require(of, "gates", Element::kFloat32, four_times(shape));
  for (const Tensor of : {op.cell, op.squashed, op.doutput, op.dcell}) {
    operands.require(of, "cell", Element::kFloat32, shape);
  }
  if (op.dnext_cell) operands.require(op.dnext_cell, "gradient at the next cell", Element::kFloat32, shape);
}

void run(const LstmCellGradient& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.cell), rows = memory.size(op.cell) / c;
  const auto *gates = memory.data<float>(op.gates), *cell = memory.data<float>(op.cell),
             *squashed = memory.data<float>(op.squashed), *doutput = memory.data<float>(op.doutput);
  const float* dnext = op.dnext_cell ? memory.data<float>(op.dnext_cell) : nullptr;
  auto *dgates = memory.data<float>(op.dgates), *dcell = memory.data<float>(op.dcell);
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t j = 0; j < c; ++j) {
      const std::int64_t e = n * c + j;
      const float* gate = gates + n * 4 * c + j;
      const float i = gate[0], f = gate[c], g = gate[2 * c], o = gate[3 * c], t = squashed[e], dh = doutput[e];
      const float square = t * t, slope = 1.0F - square, through = dh * o;
      float dc = through * slope;
      if (dnext != nullptr) dc = dnext[e] + dc;
      // Of a sigmoid s(1 - s), of a tangent 1 - g^2.
      const auto of_sigmoid = [](float s) {
        const float rest = 1.0F - s;
        return s * rest;
      };
      const float g_square = g * g, g_slope = 1.0F - g_square;
      const float at_i = dc * g, at_f = dc * cell[e], at_g = dc * i, at_o = dh * t;
      float* d = dgates + n * 4 * c + j;
      d[0] = at_i * of_sigmoid(i);
      d[c] = at_f * of_sigmoid(f);
      d[2 * c] = at_g * g_slope;
      d[3 * c] = at_o * of_sigmoid(o);
      dcell[e] = dc * f;
    }
  }
}

}  // namespace bitcycle::ops
