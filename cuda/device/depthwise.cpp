// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions of byte codes.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_depthwise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

int CudaLibrary::depthwise_blocks(std::int64_t size, std::int64_t channels, std::int64_t width) const {
  constexpr std::int64_t kBlock = DepthwiseForwardKernel::kThreads;
  static_assert(kBlock == DepthwiseErrorKernel::kThreads && kBlock == DepthwiseGradientKernel::kThreads);
  const auto least = static_cast<int>((channels / width + kBlock - 1) / kBlock);
  return std::max(least, blocks(static_cast<std::uint32_t>(size)));
}

void CudaLibrary::depthwise_forward(const ConvForward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  DepthwiseForwardKernel::Args a{};
  a.s = geometry(s);
  a.x = without_recorded_width(args.codes);
  a.weights = w.codes.as<std::uint32_t>();
  a.weight_affine = w.affine.as<Affine>();
  a.y = args.y;
  a.positions = static_cast<std::uint32_t>(s.n * s.out_h() * s.out_w());
  a.statistics = args.statistics;
  a.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
  a.hi = a.lo + s.o;
  a.arrivals = &scratch()->arrivals;
  launch<DepthwiseForwardKernel>(depthwise_blocks(s.output_size(), s.c, 4), DepthwiseForwardKernel::kSharedBytes, a,
                                 {s.macs(), s.input_size() + 4 * s.output_size()});
}

void CudaLibrary::depthwise_error(const ConvBackward& args, const CudaWeights& w, float* dx) {
  const ConvShape& s = args.shape;
  DepthwiseErrorKernel::Args a{};
  a.s = geometry(s);
  a.g = without_recorded_width(args.g);
  a.weights = w.error_codes.as<std::uint32_t>();
  a.error_affine = w.error_affine.as<Affine>();
  a.shared_grid = w.error_weights == ErrorWeights::kShared;
  a.dx = dx;
  a.dx_bound = args.dx_bound;
  a.positions = static_cast<std::uint32_t>(s.n * s.h * s.w);
  launch<DepthwiseErrorKernel>(depthwise_blocks(s.input_size(), s.c, 4), 0, a,
                               {s.macs(), s.output_size() + 4 * s.input_size()});
}

void CudaLibrary::depthwise_gradient(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  DepthwiseGradientKernel::Args a{};
  a.s = geometry(s);
  a.x = without_recorded_width(args.x);
  a.g = without_recorded_width(args.g);
  a.sums = w.gradient_sums.as<std::int64_t>();
  a.terms = w.terms.as<std::int64_t>();
  a.dw = args.dw;
  a.positions = static_cast<std::uint32_t>(s.n * s.out_h() * s.out_w());
  a.arrivals = reinterpret_cast<std::uint32_t*>(a.sums + 3 * s.kh * s.kw * s.c);
  launch<DepthwiseGradientKernel>(depthwise_blocks(s.output_size(), s.c, 2), DepthwiseGradientKernel::kSharedBytes, a,
                                  {s.macs(), s.output_size() + s.input_size()});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
