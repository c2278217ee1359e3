// SPDX-License-Identifier: Apache-2.0
// How wide an accumulator must be: proven from the two widths and the length of the reduction
// (docs/numerics.md, section 3).
#pragma once

#include <cstdint>

#include "sim/number/bit_width.h"

namespace bitcycle {

enum class Accumulator : std::uint8_t { kInt32, kInt64, kInt128 };

/// Bits of the largest sum of `depth` products of unsigned codes, (2^a - 1) * (2^b - 1) * depth,
/// sign bit included.
int accumulator_bits(BitWidth a, BitWidth b, std::int64_t depth);

/// Narrowest accumulator that cannot overflow for unsigned codes of these widths.
/// int32: (2^a - 1)(2^b - 1) * depth <= 2^31 - 1; for 8 x 8 bits depth <= 33,025.
Accumulator accumulator_for(BitWidth a, BitWidth b, std::int64_t depth);

/// Longest reduction of unsigned a-bit times offset-binary (signed) b-bit codes, b <= 8, that an int32
/// holds: depth * (2^a - 1) * 128 <= 2^31 - 1; for 8 bits 65,793. The fast kernels split longer ones.
std::int64_t max_offset_binary_depth(BitWidth a);

/// The accumulators' exact integers, as they are written to files: int64 where they fit.
using Int128 = __int128;

}  // namespace bitcycle
