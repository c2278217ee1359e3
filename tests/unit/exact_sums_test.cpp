// SPDX-License-Identifier: Apache-2.0
// Keys of the floats' order, integers rounded once to binary64, and the grids of order-free sums.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/rescale.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

TEST(OrderedKey, has_the_order_of_the_floats) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> ascending{-infinity, -3e38F, -1.0F, -0x1p-149F, 0.0F, 0x1p-149F, 1e-38F, 2.0F, infinity};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    EXPECT_EQ(float_of_key(ordered_key(ascending[i])), ascending[i]);
    if (i > 0) {
      EXPECT_LT(ordered_key(ascending[i - 1]), ordered_key(ascending[i]));
    }
    EXPECT_LT(ordered_key(std::copysign(nan, -1.0F)), ordered_key(ascending[i]));
    EXPECT_GT(ordered_key(std::copysign(nan, 1.0F)), ordered_key(ascending[i]));
  }
  EXPECT_EQ(ordered_key(-0.0F), ordered_key(0.0F));
  EXPECT_TRUE(std::isnan(magnitude_of({std::copysign(nan, -1.0F), 1.0F})));
}

TEST(OrderedKey, finite_is_an_exponent_that_is_not_all_ones) {
  EXPECT_TRUE(is_finite_bits(3.4e38F));
  EXPECT_TRUE(is_finite_bits(-0x1p-149F));
  EXPECT_FALSE(is_finite_bits(-std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(is_finite_bits(std::numeric_limits<float>::quiet_NaN()));
}

TEST(Rescale, integers_of_128_bits_are_rounded_once_to_nearest_even) {
  const auto expect = [](Int128 value, double expected) {
    EXPECT_EQ(to_binary64(value), expected);
    EXPECT_EQ(to_binary64(-value), -expected);
  };
  const Int128 one = 1;
  expect(0, 0.0);
  expect(12345, 12345.0);
  expect((one << 53) + 1, 0x1p53);                                // a tie, to even
  expect((one << 53) + 3, 0x1p53 + 4.0);                          // a tie, to even, upwards
  expect((one << 100) + (one << 47), 0x1p100);                    // a tie
  expect((one << 100) + (one << 47) + 1, 0x1.0000000000001p100);  // just above: the lowest bit decides
  expect((one << 126) - 1, 0x1p126);
  expect((one << 64) - 1, 0x1p64);
  test::TestRandom random(4);
  for (int i = 0; i < 20000; ++i) {
    Int128 value = 0;
    for (int word = 0; word < 4; ++word) value = (value << 32) | random.word();
    value >>= random.below(127);
    EXPECT_EQ(to_binary64(value), static_cast<double>(value));
  }
}

TEST(OrderFreeSum, exponent_above_is_the_smallest_power_of_two_that_is_not_smaller) {
  EXPECT_EQ(exponent_above(0.0), 0);
  EXPECT_EQ(exponent_above(1.0), 0);
  EXPECT_EQ(exponent_above(1.0000001), 1);
  EXPECT_EQ(exponent_above(0.5), -1);
  EXPECT_EQ(exponent_above(0.50001), 0);
  EXPECT_EQ(exponent_above(1024.0), 10);
}

TEST(OrderFreeSum, the_largest_addends_that_the_bound_allows_cannot_overflow) {
  for (const std::uint64_t count : {1ULL, 2ULL, 3ULL, 1024ULL, 131072ULL, 1ULL << 40}) {
    for (const double bound : {1e-30, 0.75, 1.0, 3.0, 1e20}) {
      const double q = std::ldexp(bound, sum_exponent(bound, count));
      EXPECT_LE(q * static_cast<double>(count), 0x1p61) << bound << " " << count;
      const double m = std::ldexp(bound, moment_exponent(bound, count));
      EXPECT_LE(m * m * static_cast<double>(count), 0x1p62) << bound << " " << count;
    }
  }
}

TEST(OrderFreeSum, is_as_close_to_the_exact_sum_as_its_grid) {
  const std::vector<float> x = test::random_normal(5000, 8);
  const int e = sum_exponent(3.0, x.size());
  std::int64_t sum = 0;
  long double exact = 0.0L;
  for (const float v : x) {
    sum += on_grid(v, power_of_two(e));
    exact += static_cast<long double>(v);
  }
  EXPECT_NEAR(sum_value(sum, e), static_cast<double>(exact), 5000.0 * std::ldexp(0.5, -e));
}

}  // namespace
}  // namespace bitcycle
