// SPDX-License-Identifier: Apache-2.0
// Max pooling, and the sums of a batch norm whose gradient comes from it.
#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_max_pool.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void CudaLibrary::max_pool(const MaxPool& args) {
  const PoolGeometry& over = args.over;
  elements(over.n * over.h * over.w * over.channels, "max pool");
  const std::uint32_t size = elements(over.n * over.out_h * over.out_w * over.channels, "max pool");
  launch<MaxPoolKernel>(blocks(size), MaxPoolKernel::kSharedBytes, {args, size, scratch()},
                        {0, 4 * (over.n * over.h * over.w * over.channels + std::int64_t{size})});
}

void CudaLibrary::max_pool_backward(const MaxPoolBackward& args) {
  const PoolGeometry& over = args.over;
  const std::uint32_t size = elements(over.n * over.h * over.w * over.channels, "max pool");
  const GradientSum sum = args.gradient_sum == nullptr ? GradientSum{} : *args.gradient_sum;
  if (args.dx_bound != nullptr || sum.u_bound != nullptr) {
    launch<NormSumsPrepareKernel>(1, 0, {{}, nullptr, {args.dx_bound, sum.u_bound}, over.channels, 0});
  }
  launch<MaxPoolBackwardKernel>(
      blocks(size), 0, {over, args.x, args.dz, args.dx, args.dx_bound, args.gradient_sum != nullptr, sum, size},
      {0, 8 * std::int64_t{size} + 4 * over.n * over.out_h * over.out_w * over.channels});
}

void CudaLibrary::norm_sums(const NormSums& args) {
  GradientSum sum;
  sum.u = const_cast<float*>(args.u);  // each element is written as it is read
  sum.norm[0] = args.norm;
  launch<NormSumsPrepareKernel>(
      1, 0, {sum, args.bound, {nullptr, nullptr}, args.channels, static_cast<std::uint64_t>(args.positions)});
  sum_gradients(sum, args.u, nullptr, nullptr, true, 1, args.positions, args.channels);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
