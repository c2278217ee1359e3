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

/// Whether the rectifier passed element e of channel c; a join without one passes all.
bool passes(const GradientJoin& join, std::int64_t e, std::int64_t c) {
  if (join.mask_bits != nullptr) return ((join.mask_bits[e / 32] >> (e % 32)) & 1U) != 0;
  if (join.mask_y != nullptr) return norm_apply(join.mask_y[e], join.mask_norm[c]) > 0.0F;
  return true;
}

/// S_u and S_ut of one norm, a channel.
void sum_for_norm(const GradientJoin& join, const GradientJoin::Norm& norm, double bound, std::int64_t positions,
                  std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; ++c) {
    NormGradientSums sums = norm_gradient_grid(bound, norm.channels[c], static_cast<std::uint64_t>(positions));
    const float to_grid_u = power_of_two(sums.exponent_u);
    const float to_grid_ut = power_of_two(sums.exponent_ut);
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t e = p * channels + c;
      const float t = norm_centre(norm.y[e], norm.channels[c]);
      add_wrapping(sums.s_u, on_grid(join.u[e], to_grid_u));
      add_wrapping(sums.s_ut, on_grid(join.u[e] * t, to_grid_ut));
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

void join_gradients(const GradientJoin& join, const std::vector<float>& first, double bound, std::int64_t positions,
                    std::int64_t channels) {
  for (std::int64_t e = 0; e < positions * channels; ++e) {
    const float one = first[static_cast<std::size_t>(e)];
    const float sum = join.other == nullptr ? one : one + join.other[e];
    join.u[e] = passes(join, e, e % channels) ? sum : 0.0F;
  }
  if (join.u_bound != nullptr) *join.u_bound = max_magnitude(join.u, positions * channels);
  const double u_bound = join_bound(bound, join.other == nullptr ? nullptr : join.other_bound);
  for (const GradientJoin::Norm& norm : join.norm) {
    if (norm.sums != nullptr) sum_for_norm(join, norm, u_bound, positions, channels);
  }
}

}  // namespace bitcycle::reference
