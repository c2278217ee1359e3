// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/accumulator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace bitcycle {
namespace {

Int128 largest_sum(int a, int b, std::int64_t depth) {
  return static_cast<Int128>(BitWidth::integer(a).max_code()) * BitWidth::integer(b).max_code() * depth;
}

TEST(Accumulator, unsigned_8_by_8_fits_int32_up_to_33025_terms) {
  const BitWidth b8 = BitWidth::integer(8);
  EXPECT_EQ(accumulator_for(b8, b8, 33025), Accumulator::kInt32);
  EXPECT_EQ(accumulator_for(b8, b8, 33026), Accumulator::kInt64);
  EXPECT_LE(largest_sum(8, 8, 33025), std::numeric_limits<std::int32_t>::max());
  EXPECT_GT(largest_sum(8, 8, 33026), std::numeric_limits<std::int32_t>::max());
}

TEST(Accumulator, offset_binary_8_by_8_fits_int32_up_to_65793_terms) {
  EXPECT_EQ(max_offset_binary_depth(BitWidth::integer(8)), 65793);
  EXPECT_LE(std::int64_t{65793} * 255 * 128, std::numeric_limits<std::int32_t>::max());
  EXPECT_GT(std::int64_t{65794} * 255 * 128, std::numeric_limits<std::int32_t>::max());
}

TEST(Accumulator, the_weight_gradient_at_batch_128_on_32x32_does_not_fit_int32) {
  const BitWidth b8 = BitWidth::integer(8);
  EXPECT_EQ(accumulator_for(b8, b8, 128 * 32 * 32), Accumulator::kInt64);
  EXPECT_GT(std::int64_t{128} * 32 * 32, max_offset_binary_depth(b8));
}

TEST(Accumulator, the_narrowest_that_holds_the_largest_sum_is_chosen) {
  for (int a = 2; a <= 32; ++a) {
    for (int b = 2; b <= 32; ++b) {
      for (const std::int64_t depth : {1L, 144L, 33025L, 131072L, 1L << 40}) {
        const Int128 sum = largest_sum(a, b, depth);
        const Accumulator expected = sum <= std::numeric_limits<std::int32_t>::max()   ? Accumulator::kInt32
                                     : sum <= std::numeric_limits<std::int64_t>::max() ? Accumulator::kInt64
                                                                                       : Accumulator::kInt128;
        EXPECT_EQ(accumulator_for(BitWidth::integer(a), BitWidth::integer(b), depth), expected) << a << " " << b;
        const int bits = accumulator_bits(BitWidth::integer(a), BitWidth::integer(b), depth);
        EXPECT_TRUE((sum >> (bits - 1)) == 0 && (sum >> (bits - 2)) == 1) << a << " " << b << " " << depth;
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle
