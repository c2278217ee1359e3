// SPDX-License-Identifier: Apache-2.0
// Rows of tensors, moved as they are:
//   slice       y = rows first .. first + n - 1 of x; a time step of a sequence, or a copy of a state tensor
//   concatenate y = the parts, one behind another
//   store       state = x: what the next step begins with
#pragma once

#include <cstdint>
#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Slice {
  static constexpr const char* kName = "slice";
  Tensor x;  // float32 (rows, ...)
  std::int64_t first = 0;
  Tensor y;  // float32 (n, ...)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct Concatenate {
  static constexpr const char* kName = "concatenate";
  std::vector<Tensor> parts;  // float32 (n, ...)
  Tensor y;                   // float32 (sum of n, ...)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    for (auto& part : self.parts) visit("parts", part, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct Store {
  static constexpr const char* kName = "store";
  Tensor x;      // float32
  Tensor state;  // as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("state", self.state, Access::kUpdate);
  }
};

void check(const Slice& op, const Operands& operands);
void run(const Slice& op, const StepMemory& memory);
void check(const Concatenate& op, const Operands& operands);
void run(const Concatenate& op, const StepMemory& memory);
void check(const Store& op, const Operands& operands);
void run(const Store& op, const StepMemory& memory);

}  // namespace bitcycle::ops
