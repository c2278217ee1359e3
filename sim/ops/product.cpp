// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/product.h"

#include "sim/ops/accumulator.h"

namespace bitcycle::ops {
namespace {

/// Widest codes that an operand's container holds.
BitWidth widest(const Quantised& operand, const Operands& operands) {
  switch (operands.of(operand.codes, "operand").element) {
    case Element::kCodes8: return BitWidth::integer(8);
    case Element::kCodes16: return BitWidth::integer(16);
    default: return BitWidth::integer(32);
  }
}

template <typename Sum>
void add_up(const Product& op, const StepMemory& memory) {
  const Contraction over = op.over.at(memory.at_samples(op.over.shape.n));
  const std::vector<std::int64_t> lhs = load_codes(op.lhs, memory), rhs = load_codes(op.rhs, memory);
  auto* sums = memory.data<Sum>(op.sums);
  for_each_out(over.out_shape(), [&](std::int64_t index, const OutElement& out) {
    Int128 wide = 0;
    for_each_run(over, out,
                 [&](std::int64_t, std::int64_t l, std::int64_t l_step, std::int64_t r, std::int64_t r_step,
                     std::int64_t count) {
                   const std::int64_t *a = lhs.data() + l, *b = rhs.data() + r;
                   if constexpr (sizeof(Sum) <= 8) {
                     std::int64_t sum = 0;
                     for (std::int64_t k = 0; k < count; ++k) sum += a[k * l_step] * b[k * r_step];
                     wide += sum;
                   } else {
                     for (std::int64_t k = 0; k < count; ++k)
                       wide += static_cast<Int128>(a[k * l_step]) * b[k * r_step];
                   }
                 });
    sums[index] = static_cast<Sum>(wide);
  });
}

}  // namespace

Element sum_element(BitWidth lhs, BitWidth rhs, std::int64_t depth) {
  switch (accumulator_for(lhs, rhs, depth)) {
    case Accumulator::kInt32: return Element::kInt32;
    case Accumulator::kInt64: return Element::kInt64;
    case Accumulator::kInt128: return Element::kInt128;
  }
  return Element::kInt128;
}

void check(const Product& op, const Operands& operands) {
  check_shape(op.over.shape);
  check(op.lhs, "lhs", op.over.lhs_shape(), operands);
  check(op.rhs, "rhs", op.over.rhs_shape(), operands);
  const TensorSpec& sums = operands.of(op.sums, "sums");
  const Element element = sums.element;
  if (element != Element::kInt32 && element != Element::kInt64 && element != Element::kInt128) {
    operands.fail("sums '" + sums.name + "' is " + sums.text() + "; sums of products are int32, int64 or int128");
  }
  operands.require(op.sums, "sums", element, op.over.out_shape());
  // A width below its container's may allow a narrower sum than this check can prove; 8-bit codes are proven here.
  const BitWidth lhs = widest(op.lhs, operands), rhs = widest(op.rhs, operands);
  if (lhs.bits() == 8 && rhs.bits() == 8 && element < sum_element(lhs, rhs, op.over.depth())) {
    operands.fail("sums '" + sums.name + "' is " + sums.text() + "; sums of " + std::to_string(op.over.depth()) +
                  " products of 8-bit codes need " + element_name(sum_element(lhs, rhs, op.over.depth())));
  }
}

void run(const Product& op, const StepMemory& memory) {
  switch (memory.spec(op.sums).element) {
    case Element::kInt32: return add_up<std::int32_t>(op, memory);
    case Element::kInt64: return add_up<std::int64_t>(op, memory);
    default: return add_up<Int128>(op, memory);
  }
}

void check(const CodeSums& op, const Operands& operands) {
  const bool lhs = op.side == CodeSums::Side::kLhs;
  check(op.operand, "operand", lhs ? op.over.lhs_shape() : op.over.rhs_shape(), operands);
  operands.require(op.sums, "sums", Element::kInt64, lhs ? op.over.lhs_sums_shape() : op.over.rhs_sums_shape());
}

void run(const CodeSums& op, const StepMemory& memory) {
  const Contraction over = op.over.at(memory.at_samples(op.over.shape.n));
  const ConvShape& s = over.shape;
  const bool lhs = op.side == CodeSums::Side::kLhs;
  const std::vector<std::int64_t> codes = load_codes(op.operand, memory);
  auto* sums = memory.data<std::int64_t>(op.sums);
  std::int64_t index = 0;
  const auto add_up = [&](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    std::int64_t sum = 0;
    for_each_run(over, {{a, b, c, d}},
                 [&](std::int64_t, std::int64_t l, std::int64_t l_step, std::int64_t r, std::int64_t r_step,
                     std::int64_t count) {
                   const std::int64_t* x = codes.data() + (lhs ? l : r);
                   const std::int64_t step = lhs ? l_step : r_step;
                   for (std::int64_t k = 0; k < count; ++k) sum += x[k * step];
                 });
    sums[index++] = sum;
  };
  // One element of the result stands for all that have this sum.
  const std::vector<std::int64_t> e = lhs ? over.lhs_sums_shape() : over.rhs_sums_shape();
  if (over.pass == Pass::kWeightGradient && lhs) {
    for (std::int64_t kh = 0; kh < e[0]; ++kh) {
      for (std::int64_t kw = 0; kw < e[1]; ++kw) {
        for (std::int64_t i = 0; i < e[2]; ++i) {
          add_up(i / s.c_per_group() * s.o_per_group(), kh, kw, i % s.c_per_group());
        }
      }
    }
  } else if (over.pass == Pass::kWeightGradient) {
    for (std::int64_t o = 0; o < e[0]; ++o) {
      for (std::int64_t kh = 0; kh < e[1]; ++kh) {
        for (std::int64_t kw = 0; kw < e[2]; ++kw) add_up(o, kh, kw, 0);
      }
    }
  } else if (lhs) {
    const std::int64_t of_group = over.pass == Pass::kForward ? s.o_per_group() : s.c_per_group();
    for_each_out(
        e, [&](std::int64_t, const OutElement& at) { add_up(at.at[0], at.at[1], at.at[2], at.at[3] * of_group); });
  } else {
    for_each_out({1, e[0], e[1], e[2]},
                 [&](std::int64_t, const OutElement& at) { add_up(0, at.at[1], at.at[2], at.at[3]); });
  }
}

}  // namespace bitcycle::ops
