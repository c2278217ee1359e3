// SPDX-License-Identifier: Apache-2.0
// Division by a number that a kernel's whole grid shares, as one multiplication: n / d for 0 <= n < 2^31, exact.
#pragma once

#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

/// m = ceil(2^(31 + s) / d), s = ceil(log2 d): n * m >> (31 + s) is n / d for every n below 2^31 (Granlund and
/// Montgomery, PLDI 1994, theorem 4.2: m * d - 2^(31+s) < d <= 2^s).
struct Divisor {
  std::uint32_t multiplier = 0x80000000U;
  std::int32_t shift = 31, value = 1;

  Divisor() = default;
  explicit Divisor(std::int32_t d) : value(d) {
    int s = 0;
    while (s < 31 && (std::int64_t{1} << s) < d) ++s;
    shift = 31 + s;
    multiplier = static_cast<std::uint32_t>(((std::uint64_t{1} << shift) + static_cast<std::uint64_t>(d) - 1) /
                                            static_cast<std::uint64_t>(d));
  }
};
BITCYCLE_HD std::int32_t quotient(std::int32_t n, const Divisor& d) {
  return static_cast<std::int32_t>((std::uint64_t{static_cast<std::uint32_t>(n)} * d.multiplier) >> d.shift);
}
/// Quotient, and the remainder in n.
BITCYCLE_HD std::int32_t divide(std::int32_t& n, const Divisor& d) {
  const std::int32_t q = quotient(n, d);
  n -= q * d.value;
  return q;
}

}  // namespace bitcycle
