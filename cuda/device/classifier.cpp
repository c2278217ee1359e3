// SPDX-License-Identifier: Apache-2.0
// The float32 linear layer and the loss.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/device/nodes.h"
#include "cuda/kernels/kernels_classifier.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void CudaLibrary::linear_forward(const LinearForward& args) {
  const std::uint32_t count = elements(args.n * args.outputs, "linear layer");
  launch<LinearForwardKernel>(blocks(4 * count), 0, {args});
}

void CudaLibrary::linear_backward(const LinearBackward& args) {
  const std::uint32_t x_size = elements(args.n * args.inputs, "linear layer");
  const std::uint32_t dy_size = elements(args.n * args.outputs, "linear layer");
  settle();
  if (args.dw != nullptr || args.dbias != nullptr) {
    // Every layer's own: layers' gradients are branches, which run beside each other.
    Buffer& bounds = linear_bounds_[args.dw != nullptr ? args.dw : args.dbias];
    float* largest = reserve(bounds, 2 * sizeof(float)).as<float>();
    branch_results_.insert(branch_results_.end(), {args.dw, args.dbias});
    const Branch beside(*this);
    launch<LinearBoundsKernel>(1, LinearBoundsKernel::kSharedBytes, {args, x_size, dy_size, largest});
    launch<LinearGradientKernel>(blocks(static_cast<std::uint32_t>(4 * args.outputs * (args.inputs + 1))), 0,
                                 {args, largest});
  }
  if (args.dx != nullptr) launch<LinearErrorKernel>(blocks(4 * x_size), 0, {args});
}

void CudaLibrary::softmax_cross_entropy(const SoftmaxCrossEntropy& args) { softmax_loss(args, false); }

void CudaLibrary::softmax_loss(const SoftmaxCrossEntropy& args, bool partial) {
  float* losses =
      reserve(losses_, static_cast<std::size_t>(std::max<std::int64_t>(2 * args.n, 1)) * sizeof(float)).as<float>();
  const std::uint32_t samples = elements(args.n, "softmax");
  launch<SoftmaxKernel>(blocks(samples * 32 * 4), SoftmaxKernel::kSharedBytes, {args, losses, scratch(), partial},
                        {0, (args.dlogits == nullptr ? 4 : 8) * args.n * args.classes});
}

void NodeLauncher::run(const ops::SoftmaxLoss& op) {
  SoftmaxCrossEntropy args;
  args.classes = memory_.last_extent(op.logits);
  args.n = memory_.size(op.logits) / args.classes;
  args.logits = data<float>(op.logits);
  args.labels = data<std::int32_t>(op.labels);
  args.dlogits = data<float>(op.dlogits);
  args.losses = data<float>(op.losses);
  args.record = data<LossRecord>(op.loss);
  library_.softmax_loss(args, op.partial);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
