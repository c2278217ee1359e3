// SPDX-License-Identifier: Apache-2.0
// The table of fused operations: a line for each, the most fused first. A family of operations is a file beside this
// one: the pattern of nodes that each of them stands for, and what a match becomes.
#include "sim/device/fused/fused_entry.h"

namespace bitcycle {
namespace fused {

FusedEntry load_images_entry();
FusedEntry linear_forward_entry();
FusedEntry linear_backward_entry();
FusedEntry norm_prepare_entry();
FusedEntry gradient_scale_entry();
FusedEntry convolution_backward_entry();
FusedEntry convolution_forward_entry();
FusedEntry accumulators_entry();
FusedEntry average_pool_backward_entry();
FusedEntry max_pool_backward_entry();
FusedEntry weights_entry();
FusedEntry activation_scale_entry();
FusedEntry norm_forward_entry();
FusedEntry norm_from_running_entry();
FusedEntry norm_gradient_prepare_entry();
FusedEntry average_pool_entry();
FusedEntry max_pool_entry();
FusedEntry norm_sums_entry();
FusedEntry softmax_loss_entry();
FusedEntry tensor_range_entry();
FusedEntry sgd_entry();
FusedEntry find_non_finite_entry();

}  // namespace fused

const std::vector<FusedEntry>& fused_entries() {
  static const std::vector<FusedEntry> table{
      fused::load_images_entry(),
      fused::linear_forward_entry(),
      fused::linear_backward_entry(),
      // Before those that would write what these make again for themselves.
      fused::norm_prepare_entry(),
      fused::gradient_scale_entry(),
      fused::convolution_backward_entry(),
      fused::convolution_forward_entry(),
      fused::accumulators_entry(),
      fused::average_pool_backward_entry(),
      fused::max_pool_backward_entry(),
      fused::weights_entry(),
      fused::activation_scale_entry(),
      fused::norm_forward_entry(),
      fused::norm_from_running_entry(),
      fused::norm_gradient_prepare_entry(),
      fused::average_pool_entry(),
      fused::max_pool_entry(),
      fused::norm_sums_entry(),
      fused::softmax_loss_entry(),
      fused::tensor_range_entry(),
      fused::sgd_entry(),
      fused::find_non_finite_entry(),
  };
  return table;
}

}  // namespace bitcycle
