// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels/all_kernels.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> all_kernels() {
  std::vector<gpu::KernelEntry> all;
  for (const auto& family : {direct_kernels(),
                             depthwise_kernels(),
                             classifier_kernels(),
                             elementwise_kernels(),
                             gradient_sum_kernels(),
                             max_pool_kernels(),
                             norm_kernels(),
                             quantise_kernels(),
                             weights_kernels(),
                             error_by_patches_kernels(),
                             error_by_rows_kernels(),
                             error_grouped_kernels(),
                             float_product_kernels(),
                             forward_kernels(),
                             forward_grouped_kernels(),
                             weight_gradient_kernels(),
                             matmul_gradient_kernels(),
                             matrix_weights_kernels(),
                             lstm_step_kernels(),
                             node_kernels(),
                             word_kernels(),
                             column_kernels(),
                             lstm_kernels(),
                             row_sum_kernels(),
                             gradient_kernels(),
                             pair_kernels()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  return all;
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
