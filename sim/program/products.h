// SPDX-License-Identifier: Apache-2.0
// products_of: the matrix-like products of a program, which is all that cost models price.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/program/program.h"
#include "sim/workload.h"

namespace bitcycle {

struct ProgramProduct {
  int node = 0;
  Site site;
  ops::Contraction over;        // at the whole batch
  bool integer = true;          // false: binary32
  Tensor lhs_width, rhs_width;  // of integer operands; none: a constant width, of `rhs_bits`
  int rhs_bits = 0;             // of a signed operand on the error pass's grid
  std::int64_t macs = 0;        // of one sample, padding counted
};

std::vector<ProgramProduct> products_of(const Program& program);

/// The products and batch norms of a training step's program as the workload of one sample, in the order of its forward
/// pass. A layer is quantised where its product is of integers. Products of two activations are of kind matmul.
Workload workload_of(const Program& program);

}  // namespace bitcycle
