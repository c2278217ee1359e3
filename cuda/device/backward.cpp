// SPDX-License-Identifier: Apache-2.0
// The backward pass of a convolution: the gradient's codes, and the products that take them.
#include <algorithm>

#include "cuda/device/cuda_library.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void CudaLibrary::conv_backward(const ConvBackward& args) {
  auto& w = const_cast<CudaWeights&>(static_cast<const CudaWeights&>(*args.weights));
  const ConvShape& s = args.shape;
  const std::uint32_t outputs = elements(s.output_size(), "convolution");
  QuantiseGradientKernel::Args quantise{};
  quantise.gradient = args.gradient;
  quantise.size = outputs;
  quantise.channels = static_cast<std::uint32_t>(s.o);
  quantise.codes = without_recorded_width(args.g);
  quantise.stochastic = args.stochastic;
  quantise.noise = args.noise;
  if (in_step_ && args.noise.step == step_number_) {  // the launch is then the same at every step
    quantise.step = &scratch()->step;
    quantise.noise.step = 0;
  }
  quantise.given_noise = args.given_noise;
  const bool error = args.dx != nullptr || args.dx_bound != nullptr || args.gradient_sum != nullptr;
  if (error) {
    quantise.prepare = error_preparation(args, w);
    const std::int64_t work = quantise.prepare.tables ? (w.input_classes + 1) * s.c : s.c;
    quantise.first_blocks = args.gradient_sum == nullptr ? prepare_blocks(work) : 1;
  }
  settle();
  wait_for_branches();
  launch<QuantiseGradientKernel>(
      blocks(outputs) + quantise.first_blocks, QuantiseGradientKernel::kSharedBytes, quantise,
      {0, s.output_size() * ((args.gradient.norm == nullptr ? 4 : 8) +
                             static_cast<std::int64_t>(bytes_of(args.g.width.container())))});
  if (args.dw != nullptr) weight_gradient(args, w);
  if (error) error_pass(args, w);
}

void CudaLibrary::conv_accumulators(const ConvAccumulators& args) {
  const auto require_integer = [](BitWidth width, const char* operand) {
    if (width.is_integer()) return;
    throw std::invalid_argument(std::string("accumulators: ") + operand +
                                " is float32, which has no integer sums; give it a width of 2..32 bits");
  };
  if (args.pass != Pass::kError) require_integer(args.x.width, "x");
  if (args.pass != Pass::kForward) require_integer(args.g.width, "g");
  if (args.pass != Pass::kWeightGradient) require_integer(args.weights->width, "w");
  const ConvShape& s = args.shape;
  if (args.pass == Pass::kForward) {
    DirectForwardKernel::Args direct{};
    direct.s = geometry(s);
    direct.x = without_recorded_width(args.x);
    direct.weights = args.weights->codes.as<std::uint32_t>();
    direct.sums = args.sums;
    direct.size = static_cast<std::uint32_t>(s.output_size());
    launch<DirectForwardKernel>(blocks(direct.size), 0, direct);
  } else if (args.pass == Pass::kError) {
    DirectErrorKernel::Args direct{};
    direct.s = geometry(s);
    direct.g = without_recorded_width(args.g);
    direct.weights = args.weights->error_codes.as<std::uint32_t>();
    direct.shared_grid = args.weights->error_weights == ErrorWeights::kShared;
    direct.sums = args.sums;
    direct.size = static_cast<std::uint32_t>(s.input_size());
    launch<DirectErrorKernel>(blocks(direct.size), 0, direct);
  } else {
    DirectWeightGradientKernel::Args direct{};
    direct.s = geometry(s);
    direct.x = without_recorded_width(args.x);
    direct.g = without_recorded_width(args.g);
    direct.sums = args.sums;
    launch<DirectWeightGradientKernel>(
        static_cast<int>(std::min<std::int64_t>(s.weight_size(), 64 * runtime_->processors())),
        sizeof(DirectWeightGradientKernel::Shared<Int128>) * DirectWeightGradientKernel::kThreads, direct);
  }
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
