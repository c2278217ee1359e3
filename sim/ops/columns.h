// SPDX-License-Identifier: Apache-2.0
// Columns of matrices, moved as they are; a tensor (rows, ..., c) is a matrix of `rows` rows and as many columns as a
// row has elements:
//   transpose            y(i, j) = x(j, i): a table of weights for the other direction
//   slice_columns        y = columns first .. first + n - 1 of x
//   concatenate_columns  y = the parts, side by side
#pragma once

#include <cstdint>
#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Transpose {
  static constexpr const char* kName = "transpose";
  Tensor x;  // float32 (m, ..., n)
  Tensor y;  // float32 (n, ..., m)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct SliceColumns {
  static constexpr const char* kName = "slice_columns";
  Tensor x;  // float32 (rows, ..., columns)
  std::int64_t first = 0;
  Tensor y;  // float32 (rows, ..., n)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct ConcatenateColumns {
  static constexpr const char* kName = "concatenate_columns";
  std::vector<Tensor> parts;  // float32 (rows, ..., n)
  Tensor y;                   // float32 (rows, ..., sum of n)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    for (auto& part : self.parts) visit("parts", part, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const Transpose& op, const Operands& operands);
void run(const Transpose& op, const StepMemory& memory);
void check(const SliceColumns& op, const Operands& operands);
void run(const SliceColumns& op, const StepMemory& memory);
void check(const ConcatenateColumns& op, const Operands& operands);
void run(const ConcatenateColumns& op, const StepMemory& memory);

}  // namespace bitcycle::ops
