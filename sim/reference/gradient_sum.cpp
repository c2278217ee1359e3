// SPDX-License-Identifier: Apache-2.0
// Contributions to the gradient at a batch norm's output: added, masked, and the sums that the norms need
// (docs/numerics.md, 6.1, 7.5, 7.6).
#include <algorithm>
#include <cmath>

#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

/// Whether the rectifier passed element e of channel c; a sum without one passes all.
bool passes(const GradientSum& gradient_sum, std::int64_t e, std::int64_t c) {
  if (gradient_sum.mask_bits != nullptr) return ((gradient_sum.mask_bits[e / 32] >> (e % 32)) & 1U) != 0;
  if (gradient_sum.mask_y != nullptr) return norm_apply(gradient_sum.mask_y[e], gradient_sum.mask_norm[c]) > 0.0F;
  return true;
}

/// S_u and S_ut of one norm, a channel.
void sum_for_norm(const GradientSum& gradient_sum, const GradientSum::Norm& norm, double bound, std::int64_t positions,
                  std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; ++c) {
    NormGradientSums sums = norm_gradient_grid(bound, norm.channels[c], static_cast<std::uint64_t>(positions));
    const float to_grid_u = power_of_two(sums.exponent_u);
    const float to_grid_ut = power_of_two(sums.exponent_ut);
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t e = p * channels + c;
      const float t = norm_centre(norm.y[e], norm.channels[c]);
      add_wrapping(sums.s_u, on_grid(gradient_sum.u[e], to_grid_u));
      add_wrapping(sums.s_ut, on_grid(gradient_sum.u[e] * t, to_grid_ut));
    }
    norm.sums[c] = sums;
  }
}

}  // namespace

float max_magnitude(const float* x, std::int64_t size) {
  std::int32_t largest = 0;
  for (std::int64_t e = 0; e < size; ++e) largest = std::max(largest, magnitude_key(x[e]));
  return float_of_bits(largest);
}

void sum_gradients(const GradientSum& gradient_sum, const std::vector<float>& first, double bound,
                   std::int64_t positions, std::int64_t channels) {
  for (std::int64_t e = 0; e < positions * channels; ++e) {
    const float one = first[static_cast<std::size_t>(e)];
    const float sum = gradient_sum.other == nullptr ? one : one + gradient_sum.other[e];
    gradient_sum.u[e] = passes(gradient_sum, e, e % channels) ? sum : 0.0F;
  }
  if (gradient_sum.u_bound != nullptr) *gradient_sum.u_bound = max_magnitude(gradient_sum.u, positions * channels);
  const double u_bound = gradient_sum_bound(bound, gradient_sum.other == nullptr ? nullptr : gradient_sum.other_bound);
  for (const GradientSum::Norm& norm : gradient_sum.norm) {
    if (norm.sums != nullptr) sum_for_norm(gradient_sum, norm, u_bound, positions, channels);
  }
}

}  // namespace bitcycle::reference
