// SPDX-License-Identifier: Apache-2.0
// Accumulator widths from operand widths and reduction lengths.
#include "sim/ops/accumulator.h"

#include <limits>

namespace bitcycle {
namespace {

/// Below 2^127: products of two 32-bit codes over at most 2^63 terms.
Int128 largest_sum(BitWidth a, BitWidth b, std::int64_t depth) {
  return static_cast<Int128>(a.max_code()) * b.max_code() * depth;
}

}  // namespace

int accumulator_bits(BitWidth a, BitWidth b, std::int64_t depth) {
  Int128 sum = largest_sum(a, b, depth);
  int bits = 1;
  for (; sum != 0; sum >>= 1) ++bits;
  return bits;
}

Accumulator accumulator_for(BitWidth a, BitWidth b, std::int64_t depth) {
  const int bits = accumulator_bits(a, b, depth);
  if (bits <= 32) return Accumulator::kInt32;
  return bits <= 64 ? Accumulator::kInt64 : Accumulator::kInt128;
}

std::int64_t max_offset_binary_depth(BitWidth a) {
  return std::numeric_limits<std::int32_t>::max() / (std::int64_t{a.max_code()} * 128);
}

}  // namespace bitcycle
