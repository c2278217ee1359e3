// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/range.h"

#include "sim/number/ordered_key.h"

namespace bitcycle::ops {

void check(const Range& op, const Operands& operands) {
  const TensorSpec& x = operands.of(op.x, "x");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  operands.require(op.ranges, "ranges", Element::kRange, op.groups.count(x.shape));
}

void run(const Range& op, const StepMemory& memory) {
  const auto& shape = memory.spec(op.x).shape;
  const std::int64_t size = memory.size(op.x);
  const auto* x = memory.data<float>(op.x);
  std::vector<KeyRange> keys(static_cast<std::size_t>(op.groups.count(shape)));
  for (std::int64_t e = 0; e < size; ++e) {
    include(keys[static_cast<std::size_t>(op.groups.of(e, size, shape))], x[e]);
  }
  auto* ranges = memory.data<bitcycle::Range>(op.ranges);
  for (std::size_t g = 0; g < keys.size(); ++g) ranges[g] = range_of_keys(keys[g]);
}

}  // namespace bitcycle::ops
