// SPDX-License-Identifier: Apache-2.0
// The families of kernels. A new one is a translation unit, a line here, and a line in all_kernels.cu.
#pragma once

#include <vector>

#include "cuda/kernels/device.h"
#include "cuda/runtime/runtime.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

std::vector<gpu::KernelEntry> direct_kernels();
std::vector<gpu::KernelEntry> classifier_kernels();
std::vector<gpu::KernelEntry> elementwise_kernels();
std::vector<gpu::KernelEntry> gradient_sum_kernels();
std::vector<gpu::KernelEntry> depthwise_kernels();
std::vector<gpu::KernelEntry> max_pool_kernels();
std::vector<gpu::KernelEntry> norm_kernels();
std::vector<gpu::KernelEntry> quantise_kernels();
std::vector<gpu::KernelEntry> weights_kernels();
std::vector<gpu::KernelEntry> error_by_patches_kernels();
std::vector<gpu::KernelEntry> error_by_rows_kernels();
std::vector<gpu::KernelEntry> error_grouped_kernels();
std::vector<gpu::KernelEntry> float_product_kernels();
std::vector<gpu::KernelEntry> forward_kernels();
std::vector<gpu::KernelEntry> forward_grouped_kernels();
std::vector<gpu::KernelEntry> weight_gradient_kernels();
std::vector<gpu::KernelEntry> matmul_gradient_kernels();
std::vector<gpu::KernelEntry> matrix_weights_kernels();
std::vector<gpu::KernelEntry> lstm_step_kernels();
std::vector<gpu::KernelEntry> node_kernels();
std::vector<gpu::KernelEntry> word_kernels();
std::vector<gpu::KernelEntry> column_kernels();
std::vector<gpu::KernelEntry> lstm_kernels();
std::vector<gpu::KernelEntry> row_sum_kernels();
std::vector<gpu::KernelEntry> gradient_kernels();
std::vector<gpu::KernelEntry> pair_kernels();

/// Those of all families.
std::vector<gpu::KernelEntry> all_kernels();

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
