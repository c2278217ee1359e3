// SPDX-License-Identifier: Apache-2.0
// product: sums[out] = sum over the pairs that meet in `out` of lhs code * rhs code, exact integers: convolutions,
// linear, recurrent and attention products, in all three passes (docs/numerics.md, 3).
// code_sums: the plain sum of one operand's codes over the same pairs, which offsets need (4.1).
// Both are tensors before they are rescaled, so that they can be reduced over ranks, exported or saturated; a device
// that fuses keeps them in registers.
// Overflow bound: |sum| <= (2^a - 1)(2^b - 1) * depth; `sums` is as wide as that needs at the widest widths (3.1).
#pragma once

#include <cstdint>

#include "sim/ops/contraction.h"
#include "sim/ops/quantised.h"

namespace bitcycle::ops {

/// What adds the products up.
struct AccumulatorModel {
  enum class Kind : std::uint8_t {
    kExact,  // as wide as the proven bound; never wraps or saturates
  } kind = Kind::kExact;
  bool operator==(const AccumulatorModel&) const = default;
};

struct Product {
  static constexpr const char* kName = "product";
  Quantised lhs, rhs;
  Contraction over;
  AccumulatorModel accumulator;
  Tensor sums;  // int32, int64 or int128, over.out_shape()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    // The grids say what codes mean and how wide signed ones are; the sums are of codes alone.
    visit("lhs", self.lhs.codes, Access::kRead);
    visit("lhs' width", self.lhs.width, Access::kRead);
    visit("rhs", self.rhs.codes, Access::kRead);
    visit("rhs' width", self.rhs.width, Access::kRead);
    visit("sums", self.sums, Access::kWrite);
  }
};

struct CodeSums {
  static constexpr const char* kName = "code_sums";
  enum class Side : std::uint8_t { kLhs, kRhs } side = Side::kLhs;
  Quantised operand;
  Contraction over;
  Tensor sums;  // int64, over.lhs_sums_shape() or rhs_sums_shape()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("operand", self.operand.codes, Access::kRead);
    visit("operand's width", self.operand.width, Access::kRead);
    visit("sums", self.sums, Access::kWrite);
  }
};

void check(const Product& op, const Operands& operands);
void run(const Product& op, const StepMemory& memory);
void check(const CodeSums& op, const Operands& operands);
void run(const CodeSums& op, const StepMemory& memory);

/// Narrowest element that holds every sum of `depth` products of codes up to these widths.
Element sum_element(BitWidth lhs, BitWidth rhs, std::int64_t depth);

}  // namespace bitcycle::ops
