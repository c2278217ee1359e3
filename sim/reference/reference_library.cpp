// SPDX-License-Identifier: Apache-2.0
// The reference library: memory, and one call into the family's file for each operation.
#include "sim/reference/reference_library.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "sim/number/ordered_key.h"
#include "sim/ops/norm.h"
#include "sim/ops/sgd.h"
#include "sim/reference/operations.h"

namespace bitcycle {

void* ReferenceLibrary::allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t rounded = std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, rounded);
  return data;
}

void ReferenceLibrary::release(void* data) noexcept { std::free(data); }

void ReferenceLibrary::to_device(void* device, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(device, host, bytes);
}

void ReferenceLibrary::to_host(void* host, const void* device, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, device, bytes);
}

void ReferenceLibrary::fill_zero(void* device, std::size_t bytes) {
  if (bytes != 0) std::memset(device, 0, bytes);
}

void ReferenceLibrary::load_images(const ImageBatch& args) { reference::load_images(args); }

std::unique_ptr<QuantisedWeights> ReferenceLibrary::make_weights(const ConvShape& shape) {
  auto weights = std::make_unique<QuantisedWeights>(shape);
  const auto size = static_cast<std::size_t>(shape.weight_size());
  weights->codes = Buffer(*this, size * sizeof(std::uint32_t));
  weights->affine = Buffer(*this, static_cast<std::size_t>(shape.o) * sizeof(Affine));
  weights->error_codes = Buffer(*this, size * sizeof(std::uint32_t));
  weights->error_affine = Buffer(*this, static_cast<std::size_t>(shape.c) * sizeof(Affine));
  weights->magnitude = Buffer(*this, static_cast<std::size_t>(shape.o + 1) * sizeof(float));
  return weights;
}

void ReferenceLibrary::quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  const auto timing = profile_.time("quantise weights");
  reference::quantise_weights(args, weights);
  reference::note_step_bound(args, weights);
}

void ReferenceLibrary::tensor_range(const float* x, std::int64_t size, Range* range) {
  const auto timing = profile_.time("tensor range");
  reference::tensor_range(x, size, range);
}

void ReferenceLibrary::activation_scale(const ActivationScale& args) { reference::activation_scale(args); }

void ReferenceLibrary::gradient_scale(const GradientScale& args) {
  const auto timing = profile_.time("gradient range");
  reference::gradient_scale(args);
}

void ReferenceLibrary::conv_forward(const ConvForward& args) {
  const auto timing = profile_.time("convolution forward", args.shape.macs());
  reference::conv_forward(args);
}

void ReferenceLibrary::conv_backward(const ConvBackward& args) {
  {
    const auto timing = profile_.time("quantise gradient");
    reference::quantise_gradient(args);
  }
  if (args.dw != nullptr) {
    const auto timing = profile_.time("convolution weight gradient", args.shape.macs());
    reference::conv_weight_gradient(args);
  }
  if (args.dx == nullptr && args.dx_bound == nullptr && args.gradient_sum == nullptr) return;
  const auto timing = profile_.time("convolution error", args.shape.macs());
  const reference::ErrorPass error = reference::conv_error(args);
  const auto size = args.shape.input_size();
  if (args.dx != nullptr) std::copy(error.dx.begin(), error.dx.end(), args.dx);
  if (args.dx_bound != nullptr) *args.dx_bound = reference::max_magnitude(error.dx.data(), size);
  if (args.gradient_sum != nullptr) {
    reference::sum_gradients(*args.gradient_sum, error.dx, error.bound, args.shape.n * args.shape.h * args.shape.w,
                             args.shape.c);
  }
}

void ReferenceLibrary::conv_accumulators(const ConvAccumulators& args) { reference::conv_accumulators(args); }

void ReferenceLibrary::norm_prepare(const NormPrepare& args) { reference::norm_prepare(args); }

void ReferenceLibrary::norm_from_running(std::int64_t channels, const float* mean, const float* variance,
                                         const float* gamma, const float* beta, NormChannel* norm) {
  for (std::int64_t c = 0; c < channels; ++c) {
    norm[c] = norm_running_channel(mean[c], variance[c], gamma[c], beta[c]);
  }
}

void ReferenceLibrary::norm_forward(const NormForward& args) {
  const auto timing = profile_.time("batch norm forward");
  reference::norm_forward(args);
}

void ReferenceLibrary::norm_gradient_prepare(const NormGradientPrepare& args) {
  reference::norm_gradient_prepare(args);
}

void ReferenceLibrary::average_pool(const AveragePool& args) {
  const auto timing = profile_.time("average pool");
  reference::average_pool(args);
}

void ReferenceLibrary::average_pool_backward(const AveragePoolBackward& args) {
  const auto timing = profile_.time("average pool backward");
  reference::average_pool_backward(args);
}

void ReferenceLibrary::max_pool(const MaxPool& args) {
  const auto timing = profile_.time("max pool");
  reference::max_pool(args);
}

void ReferenceLibrary::max_pool_backward(const MaxPoolBackward& args) {
  const auto timing = profile_.time("max pool backward");
  reference::max_pool_backward(args);
}

void ReferenceLibrary::norm_sums(const NormSums& args) {
  const auto timing = profile_.time("norm sums");
  reference::norm_sums(args);
}

void ReferenceLibrary::linear_forward(const LinearForward& args) {
  const auto timing = profile_.time("linear forward", args.n * args.inputs * args.outputs);
  reference::linear_forward(args);
}

void ReferenceLibrary::linear_backward(const LinearBackward& args) {
  const auto timing = profile_.time("linear backward", 2 * args.n * args.inputs * args.outputs);
  reference::linear_backward(args);
}

void ReferenceLibrary::softmax_cross_entropy(const SoftmaxCrossEntropy& args) {
  const auto timing = profile_.time("softmax cross-entropy");
  reference::softmax_cross_entropy(args);
}

void ReferenceLibrary::sgd_update(const SgdUpdate& args) {
  const auto timing = profile_.time("sgd");
  if (args.non_finite != nullptr) *args.non_finite = -1;
  if (args.guard != nullptr && *args.guard >= 0) return;
  for (std::int64_t e = 0; e < args.size; ++e) {
    sgd_element(args.gradient[e], args.momentum_buffer[e], args.parameter[e], args.lr, args.momentum,
                args.weight_decay);
  }
  if (args.non_finite != nullptr) find_non_finite(args.parameter, args.size, args.non_finite);
}

void ReferenceLibrary::find_non_finite(const float* data, std::int64_t size, std::int64_t* position) {
  const float* found = std::find_if(data, data + size, [](float x) { return !is_finite_bits(x); });
  *position = found == data + size ? -1 : found - data;
}

void ReferenceLibrary::set_profiling(bool on) { profile_.set(on); }
std::vector<ProfileEntry> ReferenceLibrary::profile() const { return profile_.entries(); }

std::unique_ptr<KernelLibrary> make_reference_library() { return std::make_unique<ReferenceLibrary>(); }

}  // namespace bitcycle
