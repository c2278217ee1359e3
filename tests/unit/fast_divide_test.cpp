// SPDX-License-Identifier: Apache-2.0
// Division by multiplication is exact: every small divisor, powers of two and their neighbours, numbers around every
// multiple and at the ends of the range.
#include "cuda/kernels/fast_divide.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/number/philox.h"

namespace bitcycle {
namespace {

TEST(FastDivide, EqualsDivision) {
  std::vector<std::int32_t> divisors;
  for (std::int32_t d = 1; d <= 300; ++d) divisors.push_back(d);
  for (int k = 9; k < 31; ++k) {
    for (int off = -1; off <= 1; ++off) divisors.push_back((std::int32_t{1} << k) + off);
  }
  divisors.push_back(INT32_MAX);
  const PhiloxStream stream = philox_stream(1, 0, RandomPurpose::kSyntheticData, 2);
  std::uint64_t draws = 0;
  for (const std::int32_t d : divisors) {
    const Divisor divisor(d);
    const auto check = [&](std::int64_t n) {
      if (n < 0 || n > INT32_MAX) return;
      auto rest = static_cast<std::int32_t>(n);
      const std::int32_t q = divide(rest, divisor);
      ASSERT_EQ(q, n / d) << n << " / " << d;
      ASSERT_EQ(rest, n % d) << n << " % " << d;
    };
    for (std::int64_t n = 0; n < 40; ++n) check(n);
    for (int i = 0; i < 400; ++i) {
      const std::int64_t n = philox_word(stream, draws++) >> 1;
      check(n);
      check(n / d * d - 1);  // around a multiple
      check(n / d * d);
      check(INT32_MAX - n % 5);
    }
  }
}

}  // namespace
}  // namespace bitcycle
