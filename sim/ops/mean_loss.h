// SPDX-License-Identifier: Apache-2.0
// The mean of samples' losses, summed on one grid: the same number for any order and any split (docs/numerics.md, 6.4,
// 7.1).
#pragma once

#include <cstdint>
#include <span>

#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"

namespace bitcycle {

/// sum / n in binary64, the sum by 7.1 with bound max|loss|; 0 for n = 0.
inline double mean_loss(std::span<const float> losses) {
  if (losses.empty()) return 0.0;
  std::int32_t largest = 0;  // magnitude key
  for (const float loss : losses) largest = magnitude_key(loss) > largest ? magnitude_key(loss) : largest;
  const int exponent = sum_exponent(static_cast<double>(float_of_bits(largest)), losses.size());
  const float to_grid = power_of_two(exponent);
  std::int64_t sum = 0;
  for (const float loss : losses) add_wrapping(sum, on_grid(loss, to_grid));
  return sum_value(sum, exponent) / static_cast<double>(losses.size());
}

}  // namespace bitcycle
