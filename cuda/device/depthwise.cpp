// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions of codes up to 16 bits.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_depthwise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {
namespace {

DepthwiseCodes codes_of(const Operand& operand) {
  return {operand.codes, operand.width.container() == Container::kUint16};
}
bool is_wide(BitWidth width) { return width.bits() > 8; }

}  // namespace

int CudaLibrary::depthwise_blocks(std::int64_t size, std::int64_t channels, std::int64_t width) const {
  constexpr std::int64_t kBlock = DepthwiseForwardKernel<false>::kThreads;
  static_assert(kBlock == DepthwiseErrorKernel<false>::kThreads && kBlock == DepthwiseGradientKernel<false>::kThreads);
  const auto least = static_cast<int>((channels / width + kBlock - 1) / kBlock);
  return std::max(least, blocks(static_cast<std::uint32_t>(size)));
}

void CudaLibrary::depthwise_forward(const ConvForward& args, const CudaWeights& w) {
  if (is_wide(args.codes.width) || is_wide(w.width)) return depthwise_forward_of<true>(args, w);
  depthwise_forward_of<false>(args, w);
}

template <bool kWords>
void CudaLibrary::depthwise_forward_of(const ConvForward& args, const CudaWeights& w) {
  using Kernel = DepthwiseForwardKernel<kWords>;
  const ConvShape& s = args.shape;
  typename Kernel::Args a{};
  a.s = geometry(s);
  a.codes = codes_of(args.codes);
  a.x_affine = args.codes.affine;
  a.weights = w.codes.as<std::uint32_t>();
  a.weight_affine = w.affine.as<Affine>();
  a.y = args.y;
  a.positions = static_cast<std::uint32_t>(s.n * s.out_h() * s.out_w());
  a.statistics = args.statistics;
  a.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
  a.hi = a.lo + s.o;
  a.arrivals = &scratch()->arrivals;
  const std::int64_t code_bytes = a.codes.words ? 2 : 1;
  launch<Kernel>(depthwise_blocks(s.output_size(), s.c, 4), Kernel::kSharedBytes, a,
                 {s.macs(), code_bytes * s.input_size() + 4 * s.output_size()});
}

void CudaLibrary::depthwise_error(const ConvBackward& args, const CudaWeights& w, float* dx) {
  if (is_wide(args.g.width)) return depthwise_error_of<true>(args, w, dx);
  depthwise_error_of<false>(args, w, dx);
}

template <bool kWords>
void CudaLibrary::depthwise_error_of(const ConvBackward& args, const CudaWeights& w, float* dx) {
  using Kernel = DepthwiseErrorKernel<kWords>;
  const ConvShape& s = args.shape;
  typename Kernel::Args a{};
  a.s = geometry(s);
  a.codes = codes_of(args.g);
  a.g_affine = args.g.affine;
  a.weights = w.error_codes.as<std::uint32_t>();
  a.error_affine = w.error_affine.as<Affine>();
  a.shared_grid = w.error_weights == ErrorWeights::kShared;
  a.dx = dx;
  a.dx_bound = args.dx_bound;
  a.positions = static_cast<std::uint32_t>(s.n * s.h * s.w);
  const std::int64_t code_bytes = a.codes.words ? 2 : 1;
  launch<Kernel>(depthwise_blocks(s.input_size(), s.c, 4), 0, a,
                 {s.macs(), code_bytes * s.output_size() + 4 * s.input_size()});
}

void CudaLibrary::depthwise_gradient(const ConvBackward& args, CudaWeights& w) {
  if (is_wide(args.x.width) || is_wide(args.g.width)) return depthwise_gradient_of<true>(args, w);
  depthwise_gradient_of<false>(args, w);
}

template <bool kWords>
void CudaLibrary::depthwise_gradient_of(const ConvBackward& args, CudaWeights& w) {
  using Kernel = DepthwiseGradientKernel<kWords>;
  const ConvShape& s = args.shape;
  typename Kernel::Args a{};
  a.s = geometry(s);
  a.x = codes_of(args.x);
  a.g = codes_of(args.g);
  a.x_affine = args.x.affine;
  a.g_affine = args.g.affine;
  a.sums = w.gradient_sums.as<std::int64_t>();
  a.terms = w.terms.as<std::int64_t>();
  a.dw = args.dw;
  a.positions = static_cast<std::uint32_t>(s.n * s.out_h() * s.out_w());
  a.arrivals = reinterpret_cast<std::uint32_t*>(a.sums + 3 * s.kh * s.kw * s.c);
  const std::int64_t bytes = (a.g.words ? 2 : 1) * s.output_size() + (a.x.words ? 2 : 1) * s.input_size();
  launch<Kernel>(depthwise_blocks(s.output_size(), s.c, 2), Kernel::kSharedBytes, a, {s.macs(), bytes});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
