// SPDX-License-Identifier: Apache-2.0
// Batch normalisation forward and the preparation of its backward pass (docs/numerics.md, 7.3 to 7.5).
#include "sim/ops/norm.h"

#include <algorithm>

#include "sim/number/ordered_key.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {

void norm_prepare(const NormPrepare& args) {
  KeyRange range;
  for (std::int64_t c = 0; c < args.channels; ++c) {
    args.norm[c] = norm_prepare_channel(args.statistics[c], args.count, args.gamma[c], args.beta[c],
                                        &args.running_mean[c], &args.running_variance[c]);
    if (args.count != 0) include_relu_range(range, args.statistics[c], args.norm[c]);
  }
  if (args.relu_range != nullptr) *args.relu_range = range_of_keys(range);
}

void norm_forward(const NormForward& args) {
  const std::int64_t size = args.positions * args.channels;
  KeyRange range;
  if (args.mask_bits != nullptr) std::fill_n(args.mask_bits, (size + 31) / 32, 0U);
  for (std::int64_t e = 0; e < size; ++e) {
    const std::int64_t c = e % args.channels;
    float z = norm_apply(args.y[e], args.norm[c]);
    if (args.shortcut != nullptr) {
      z = z + (args.shortcut_norm == nullptr ? args.shortcut[e] : norm_apply(args.shortcut[e], args.shortcut_norm[c]));
    }
    if (args.relu) z = relu(z);
    args.z[e] = z;
    if (args.mask_bits != nullptr && z > 0.0F) args.mask_bits[e / 32] |= 1U << (e % 32);
    include(range, z);
  }
  if (args.range != nullptr) *args.range = range_of_keys(range);
}

void norm_gradient_prepare(const NormGradientPrepare& args) {
  for (std::int64_t c = 0; c < args.channels; ++c) {
    const NormGradientResult result = norm_gradient_channel(args.sums[c], args.norm[c], args.count);
    args.gradient[c] = result.gradient;
    args.dgamma[c] = result.dgamma;
    args.dbeta[c] = result.dbeta;
  }
}

}  // namespace bitcycle::reference
