// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/gradient_norm.h"

#include <cmath>

#include "sim/number/order_free_sum.h"

namespace bitcycle::ops {

double gradient_norm(const std::vector<Tensor>& gradients, const StepMemory& memory) {
  double largest = 0.0;
  std::uint64_t count = 0;
  for (const Tensor gradient : gradients) {
    const auto* g = memory.data<float>(gradient);
    for (std::int64_t e = 0; e < memory.size(gradient); ++e) {
      largest = std::max(largest, std::fabs(static_cast<double>(g[e])));
    }
    count += static_cast<std::uint64_t>(memory.size(gradient));
  }
  if (largest == 0.0) return 0.0;
  // Gradients are scaled by a power of two first, so that neither their squares nor the grid leave the exponents.
  const int scale = -exponent_above(largest);
  const int exponent = sum_exponent(1.0, count);
  std::int64_t sum = 0;
  for (const Tensor gradient : gradients) {
    const auto* g = memory.data<float>(gradient);
    for (std::int64_t e = 0; e < memory.size(gradient); ++e) {
      const double scaled = std::ldexp(static_cast<double>(g[e]), scale);
      add_wrapping(sum, static_cast<std::int64_t>(std::rint(std::ldexp(scaled * scaled, exponent))));
    }
  }
  return std::ldexp(std::sqrt(sum_value(sum, exponent)), -scale);
}

}  // namespace bitcycle::ops
