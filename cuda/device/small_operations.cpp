// SPDX-License-Identifier: Apache-2.0
// Images, ranges, scales, batch norm, pooling, sums of gradients and SGD: a launch each, or a part of a neighbour's.
#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_elementwise.h"
#include "cuda/kernels/kernels_gradient_sum.h"
#include "cuda/kernels/kernels_norm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void CudaLibrary::load_images(const ImageBatch& batch) {
  const std::uint32_t pixels = elements(3 * batch.n * batch.h * batch.w, "loading images") / 3;
  launch<LoadImagesKernel>(blocks(4 * pixels), LoadImagesKernel::kSharedBytes, {batch, pixels, nullptr, scratch()},
                           {0, std::int64_t{15} * pixels});
  open_images_ = {used_ - 1, batch.x, std::int64_t{3} * pixels};
}

void CudaLibrary::tensor_range(const float* x, std::int64_t size, Range* range) {
  const std::uint32_t count = elements(size, "tensor range");
  if (open_images_.x == x && open_images_.size == size && x != nullptr && open_images_.launch < used_) {
    arguments<LoadImagesKernel>(open_images_.launch).range = range;
    open_images_ = {};
    return;
  }
  launch<RangeKernel>(blocks(count), RangeKernel::kSharedBytes, {x, count, range, scratch()}, {0, size * 4});
}

void CudaLibrary::activation_scale(const ActivationScale& args) {
  settle();
  if (args.training) {
    scale_ = args;
  } else {
    launch<ActivationScaleKernel>(1, 0, {without_recorded_width(args)});
  }
}

void CudaLibrary::gradient_scale(const GradientScale& of) {
  const ConvGradient& gradient = of.gradient;
  const std::int64_t positions = of.positions, channels = of.channels;
  const std::uint32_t count = elements(positions * channels, "gradient range");
  GradientScaleKernel::Args args{};
  args.gradient = gradient;
  args.size = count;
  args.channels = static_cast<std::uint32_t>(channels);
  args.width = {of.width, of.width_record};
  args.min_scale = of.min_scale;
  args.zero_on_grid = of.zero_on_grid;
  args.range = of.range;
  args.affine = of.affine;
  args.scratch = scratch();
  if (norm_gradient_ && gradient.gradient == norm_gradient_->gradient && norm_gradient_->channels == channels &&
      channels <= GradientScaleKernel::kMostChannels) {
    args.prepares = true;
    args.prepare = *norm_gradient_;
    norm_gradient_.reset();
  }
  launch<GradientScaleKernel>(blocks(count),
                              static_cast<std::size_t>(GradientScaleKernel::shared_bytes(args.prepares, channels)),
                              args, {0, (gradient.norm == nullptr ? 4 : 8) * positions * channels});
}

void CudaLibrary::norm_prepare(const NormPrepare& args) {
  for (const OpenProduct& product : open_products_) {
    if (product.statistics != args.statistics || product.channels != args.channels) continue;
    queue_[product.launch].store(args, product.norm_at);
    return;
  }
  launch<NormPrepareKernel>(1, NormPrepareKernel::kSharedBytes, {args});
}

void CudaLibrary::norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                                    const float* beta, NormChannel* norm) {
  launch<NormFromRunningKernel>(1, 0, {channels, mean, variance, gamma, beta, norm});
}

void CudaLibrary::norm_forward(const NormForward& args) {
  const std::uint32_t count = elements(args.positions * args.channels, "batch norm");
  launch<NormForwardKernel>(
      blocks(count), NormForwardKernel::kSharedBytes, {args, count, scratch()},
      {0, (args.shortcut == nullptr ? 8 : 12) * std::int64_t{count} + (args.mask_bits == nullptr ? 0 : count / 8)});
}

void CudaLibrary::norm_gradient_prepare(const NormGradientPrepare& args) {
  settle();
  norm_gradient_ = args;
}

void CudaLibrary::average_pool(const AveragePool& args) {
  elements(args.n * args.positions * args.channels, "average pool");
  launch<AveragePoolKernel>(blocks(static_cast<std::uint32_t>(4 * args.n * args.channels)), 0, {args},
                            {0, 4 * args.n * (args.positions + 1) * args.channels});
}

void CudaLibrary::sum_gradients(const GradientSum& gradient_sum, const float* first, const float* dpooled, float* dx,
                                bool sums_gradients, std::int64_t n, std::int64_t positions, std::int64_t channels) {
  const std::uint32_t size = elements(n * positions * channels, "sum of gradients");
  launch<GradientSumKernel>(blocks(size), static_cast<std::size_t>(GradientSumKernel::shared_bytes(channels)),
                            {gradient_sum, first, dpooled, dx, sums_gradients, size,
                             static_cast<std::uint32_t>(channels), static_cast<std::uint32_t>(positions)},
                            {0, (first != nullptr ? 12 : 8) * std::int64_t{size}});
}

void CudaLibrary::average_pool_backward(const AveragePoolBackward& args) {
  const GradientSum gradient_sum = args.gradient_sum == nullptr ? GradientSum{} : *args.gradient_sum;
  if (args.gradient_sum != nullptr) {
    launch<PoolPrepareKernel>(1, 16,
                              {args.dpooled, elements(args.n * args.channels, "average pool"), gradient_sum,
                               args.channels, static_cast<std::uint64_t>(args.n * args.positions)});
  }
  sum_gradients(gradient_sum, nullptr, args.dpooled, args.dx, args.gradient_sum != nullptr, args.n, args.positions,
                args.channels);
}

void CudaLibrary::sgd_update(const SgdUpdate& args) {
  const std::uint32_t count = elements(args.size, "sgd");
  SgdUpdate recorded = args;
  if (recorded.lr_record != nullptr) recorded.lr = 0.0F;
  wait_for_branches();
  launch<SgdKernel>(blocks(count), SgdKernel::kSharedBytes, {recorded, count, scratch()}, {0, 20 * args.size});
}

void CudaLibrary::find_non_finite(const float* data, std::int64_t size, std::int64_t* position) {
  const std::uint32_t count = elements(size, "first non-finite");
  wait_for_branches();
  launch<NonFiniteKernel>(blocks(count), NonFiniteKernel::kSharedBytes, {data, count, position, scratch()},
                          {0, 4 * size});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
