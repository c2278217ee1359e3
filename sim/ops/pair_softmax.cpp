// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/pair_softmax.h"

#include <algorithm>
#include <cmath>

#include "sim/number/elementary.h"
#include "sim/ops/pair_product.h"
#include "sim/ops/row_sum.h"

namespace bitcycle::ops {
namespace {

void check_pair_tensors(const PairShape& shape, const std::vector<std::pair<Tensor, const char*>>& tensors,
                        const Operands& operands) {
  check_pairs(shape, operands);
  for (const auto& [tensor, role] : tensors) operands.require(tensor, role, Element::kFloat32, shape.pair_elements());
}

}  // namespace

void check(const PairSoftmax& op, const Operands& operands) {
  check_pair_tensors(op.shape, {{op.x, "x"}, {op.y, "y"}}, operands);
}

void run(const PairSoftmax& op, const StepMemory& memory) {
  const PairShape& s = op.shape;
  const std::int64_t rows = memory.at_samples(s.samples) * s.heads * s.m;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t count = s.columns_of(row % s.m);
    const float* x = memory.data<float>(op.x) + row * s.n;
    float* y = memory.data<float>(op.y) + row * s.n;
    float largest = x[0] * op.scale;
    for (std::int64_t j = 1; j < count; ++j) {
      const float scaled = x[j] * op.scale;
      largest = scaled > largest ? scaled : largest;
    }
    for (std::int64_t j = 0; j < count; ++j) y[j] = exp_f32(x[j] * op.scale - largest);
    const float sum = row_sum<float>(count, [&](float of_lane, std::int64_t j) { return of_lane + y[j]; });
    for (std::int64_t j = 0; j < count; ++j) y[j] = y[j] / sum;
    std::fill(y + count, y + s.n, 0.0F);
  }
}

void check(const PairSoftmaxGradient& op, const Operands& operands) {
  check_pair_tensors(op.shape, {{op.y, "y"}, {op.dy, "dy"}, {op.dx, "dx"}}, operands);
}

void run(const PairSoftmaxGradient& op, const StepMemory& memory) {
  const PairShape& s = op.shape;
  const std::int64_t rows = memory.at_samples(s.samples) * s.heads * s.m;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t count = s.columns_of(row % s.m);
    const float *y = memory.data<float>(op.y) + row * s.n, *dy = memory.data<float>(op.dy) + row * s.n;
    float* dx = memory.data<float>(op.dx) + row * s.n;
    const float d = row_sum<float>(count, [&](float sum, std::int64_t j) { return std::fma(dy[j], y[j], sum); });
    for (std::int64_t j = 0; j < count; ++j) dx[j] = softmax_error(y[j], dy[j], d, op.scale);
    std::fill(dx + count, dx + s.n, 0.0F);
  }
}

}  // namespace bitcycle::ops
