// SPDX-License-Identifier: Apache-2.0
// The error pass of a convolution.
#include <algorithm>

#include "cuda/device/choose_product.h"
#include "cuda/device/cuda_library.h"
#include "cuda/products/kernels_deep_error.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {
namespace {

/// A matrix with more outputs than 32-bit sums hold, whose gradient's codes are bytes; sums in binary64 are exact.
bool is_deep_error(const ConvBackward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  const int limbs = w.error_pack.limbs;
  const bool is_matrix = s.kh * s.kw == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
  return is_matrix && s.c % 4 == 0 && limbs != 0 && args.g.width.is_integer() && args.g.width.bits() <= 8 &&
         w.width.is_integer() && s.o * kByteProduct > INT32_MAX && s.o < (std::int64_t{1} << (45 - 8 * limbs));
}

}  // namespace

template <int LA, int LB, bool Shared, int Norms>
void CudaLibrary::error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  // Positions are the inputs, pixels the outputs; the last tap comes first.
  const PatchShape shape{
      s.n, s.h, s.w, s.out_h(), s.out_w(), s.kh, s.kw, s.stride, s.kh - 1 - s.padding, s.kw - 1 - s.padding};
  const auto go = [&](auto product, const auto& source) {
    using Kernel = ErrorProductKernel<typename decltype(product)::type, Norms>;
    typename Kernel::Args a{};
    a.g = source;
    a.weights = w.error_pack;
    a.columns = static_cast<std::int32_t>(s.c);
    a.scale = w.error_scale.as<ChannelScale>();
    a.offset = w.error_offset.as<double>();
    a.dx = args.dx;
    a.dx_bound = args.dx_bound;
    a.sums_gradients = args.gradient_sum != nullptr;
    if (a.sums_gradients) a.gradient_sum = *args.gradient_sum;
    // dx and u are written; the second contribution, the mask and what the sums need are read.
    const std::int64_t inputs = s.input_size();
    std::int64_t bytes = s.output_size() * LA + (args.dx != nullptr ? 4 * inputs : 0);
    if (a.sums_gradients) {
      bytes += 4 * inputs + (a.gradient_sum.other != nullptr ? 4 * inputs : 0) +
               (a.gradient_sum.mask_bits != nullptr ? inputs / 8 : 0);
      for (const auto& norm : a.gradient_sum.norm) bytes += norm.sums != nullptr ? 4 * inputs : 0;
    }
    launch_product<Kernel>(s.c, a, a.g, {LB * s.macs(), bytes});
  };
  if constexpr (Norms == 1) {
    if (s.groups != 1) {
      return choose_grouped_product<ErrorProduct<1>::template Kernel, LA, LB, Shared>(g, shape, w.error_tiles, go);
    }
  }
  constexpr bool kWide = LA + LB <= 3 && (Norms == 1 || LA + LB == 2);  // as far as registers go
  choose_product<ErrorProduct<Norms>::template Kernel, LA, LB, Shared, kWide ? 4 : 2>(g, shape, s.c, go);
}
template <int LA, int LB, bool Shared>
void CudaLibrary::error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w) {
  if (args.gradient_sum != nullptr && args.gradient_sum->norm[1].sums != nullptr) {
    error_product<LA, LB, Shared, 2>(g, args, w);
  } else {
    error_product<LA, LB, Shared, 1>(g, args, w);
  }
}

bool CudaLibrary::error_on_tensor_cores(const ConvBackward& args, const CudaWeights& w) const {
  const ConvShape& s = args.shape;
  const int lg = limbs_of(args.g.width), lw = w.error_pack.limbs;
  return args.g.width.is_integer() && w.width.is_integer() && lw != 0 && s.kh * s.kw <= StreamedRows::kMostTaps &&
         fits_tensor_cores(args.g.width, lg, lw, s.error_depth(), s.c);
}

PrepareError CudaLibrary::error_preparation(const ConvBackward& args, const CudaWeights& w) {
  PrepareError prepare{};
  prepare.g_width = {args.g.width, args.g.width_record};
  prepare.w_width = {w.width, w.width_record};
  prepare.g = args.g.affine;
  prepare.g_range = args.g_range;
  prepare.error = w.error_affine.as<Affine>();
  prepare.magnitude = w.magnitude.as<float>();
  prepare.shared_grid = w.error_weights == ErrorWeights::kShared;
  prepare.grid_bits = w.error_grid_bits;
  prepare.tap_sums = w.error_tap_sums.as<std::int64_t>();
  prepare.map = w.inputs;
  prepare.s = geometry(args.shape);
  prepare.tables = error_on_tensor_cores(args, w) || is_deep_error(args, w);
  prepare.scale = const_cast<ChannelScale*>(w.error_scale.as<ChannelScale>());
  prepare.offset = const_cast<double*>(w.error_offset.as<double>());
  prepare.dx_bound = args.dx_bound;
  prepare.sums_gradients = args.gradient_sum != nullptr;
  if (prepare.sums_gradients) prepare.gradient_sum = *args.gradient_sum;
  return prepare;
}

void CudaLibrary::error_pass(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const Geometry geo = geometry(s);
  const bool shared_grid = w.error_weights == ErrorWeights::kShared;
  const int lg = limbs_of(args.g.width), lw = w.error_pack.limbs;
  const auto inputs = static_cast<std::uint32_t>(s.input_size());
  const auto dx_or_room = [&] {
    if (args.dx != nullptr) return args.dx;
    return reserve(direct_dx_, std::max<std::size_t>(inputs, 1) * sizeof(float)).as<float>();
  };
  const auto add_gradients = [&](const float* dx) {
    if (args.gradient_sum == nullptr) return;
    sum_gradients(*args.gradient_sum, dx, nullptr, nullptr, true, s.n, s.h * s.w, s.c);
  };
  const auto streamed = [&] {
    StreamedRows g{};
    g.codes = args.g.codes;
    g.rows = geo.n * geo.h * geo.w;
    g.h = Divisor(geo.h);
    g.w = Divisor(geo.w);
    g.stride = Divisor(geo.stride);
    g.map = w.inputs;
    g.source_h = geo.out_h;
    g.source_w = geo.out_w;
    g.channels = s.groups == 1 ? geo.o : w.error_tiles.window;
    g.pixel = geo.o;
    g.kh = geo.kh;
    g.kw = geo.kw;
    g.padding = geo.padding;
    g.transposed = true;
    g.set_offsets();
    return g;
  };
  if (is_deep_error(args, w)) {
    float* dx = dx_or_room();
    const auto go = [&](auto product) {
      using Kernel = DeepErrorKernel<typename decltype(product)::type>;
      typename Kernel::Args a{};
      a.g = streamed();
      a.weights = w.error_pack;
      a.columns = geo.c;
      a.scale = w.error_scale.as<ChannelScale>();
      a.offset = w.error_offset.as<double>();
      a.dx = dx;
      a.dx_bound = args.dx_bound;
      launch_product<Kernel>(s.c, a, a.g, {lw * s.macs(), s.output_size() + 4 * s.input_size()});
    };
    if (shared_grid) {
      if (lw == 2) go(std::type_identity<TileProduct<1, 2, true, 2>>{});
      if (lw == 3) go(std::type_identity<TileProduct<1, 3, true, 2>>{});
    } else {
      if (lw == 1) go(std::type_identity<TileProduct<1, 1, false, 2>>{});
      if (lw == 2) go(std::type_identity<TileProduct<1, 2, false, 2>>{});
    }
    return add_gradients(dx);
  }
  if (error_on_tensor_cores(args, w)) {
    // Products with groups take the sums of one norm: those of two, which are rare, are a pass of their own.
    ConvBackward product = args;
    const bool apart = s.groups != 1 && args.gradient_sum != nullptr && args.gradient_sum->norm[1].sums != nullptr;
    if (apart) {
      product.dx = dx_or_room();
      product.gradient_sum = nullptr;
    }
    const StreamedRows g = streamed();
    if (shared_grid) {
      if (lg == 1 && lw == 2) error_product<1, 2, true>(g, product, w);
      if (lg == 1 && lw == 3) error_product<1, 3, true>(g, product, w);
      if (lg == 2 && lw == 2) error_product<2, 2, true>(g, product, w);
      if (lg == 2 && lw == 3) error_product<2, 3, true>(g, product, w);
    } else {
      if (lg == 1 && lw == 1) error_product<1, 1, false>(g, product, w);
      if (lg == 1 && lw == 2) error_product<1, 2, false>(g, product, w);
      if (lg == 2 && lw == 1) error_product<2, 1, false>(g, product, w);
      if (lg == 2 && lw == 2) error_product<2, 2, false>(g, product, w);
    }
    if (apart) add_gradients(product.dx);
    return;
  }
  float* dx = dx_or_room();
  if (has_depthwise_kernels(s) && args.g.width.is_integer() && args.g.width.is_narrow() && w.width.is_integer() &&
      w.width.is_narrow()) {
    depthwise_error(args, w, dx);
    return add_gradients(dx);
  }
  const SumType sum_type =
      sum_type_of(args.g.width, shared_grid && w.width.is_integer() ? BitWidth::integer(w.error_grid_bits) : w.width,
                  s.error_depth());
  if (sum_type == SumType::kFloat && s.groups == 1) {
    float_error(args, w, dx);
    return add_gradients(dx);
  }
  DirectErrorKernel::Args direct{};
  direct.s = geo;
  direct.sum_type = sum_type;
  direct.g = without_recorded_width(args.g);
  direct.weights = w.width.is_float32() ? w.codes.as<std::uint32_t>() : w.error_codes.as<std::uint32_t>();
  direct.error_affine = w.error_affine.as<Affine>();
  direct.weight_width = {w.width, w.width_record};
  direct.shared_grid = shared_grid;
  direct.dx = dx;
  direct.dx_bound = args.dx_bound;
  direct.size = inputs;
  launch<DirectErrorKernel>(blocks(4 * std::min(inputs, UINT32_MAX / 4)), 0, direct, {s.macs(), 0});
  add_gradients(dx);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
