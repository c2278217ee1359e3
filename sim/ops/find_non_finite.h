// SPDX-License-Identifier: Apache-2.0
// find_non_finite: the first element of a list of tensors that is not finite by the test of its exponent bits; -1 where
// all are (docs/numerics.md, 11.1). Elements are counted through the list as it lies in memory: each tensor begins at a
// multiple of 16 (position_step).
#pragma once

#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct FindNonFinite {
  static constexpr const char* kName = "find_non_finite";
  std::vector<Tensor> x;  // float32
  Tensor position;        // int64 ()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    for (auto& tensor : self.x) visit("x", tensor, Access::kRead);
    visit("position", self.position, Access::kWrite);
  }
  template <typename Self, typename Visit>
  static void each_list(Self& self, Visit visit) {
    visit(self.x);
  }
};

/// Elements from one tensor of a list to the next.
inline std::int64_t position_step(std::int64_t size) { return (size + 15) / 16 * 16; }

void check(const FindNonFinite& op, const Operands& operands);
void run(const FindNonFinite& op, const StepMemory& memory);

}  // namespace bitcycle::ops
