// SPDX-License-Identifier: Apache-2.0
// The forward pass of a convolution.
#include <algorithm>

#include "cuda/device/choose_product.h"
#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_nodes.h"
#include "cuda/kernels/kernels_statistics.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

const Tiling& CudaLibrary::tiling(const PatchShape& s, std::int64_t most_positions, std::int64_t most_pixels) {
  const std::array<std::int64_t, 12> key = {s.n,  s.out_h,  s.out_w,     s.in_h,      s.in_w,         s.kh,
                                            s.kw, s.stride, s.padding_h, s.padding_w, most_positions, most_pixels};
  const auto known = tilings_.find(key);
  return known != tilings_.end() ? known->second : tilings_[key] = tiling_of(s, most_positions, most_pixels);
}

template <int LA, int LB>
void CudaLibrary::forward_product(const StreamedRows& x, const ConvForward& args, const CudaWeights& w,
                                  const float* bias) {
  const ConvShape& s = args.shape;
  const PatchShape shape{s.n, s.out_h(), s.out_w(), s.h, s.w, s.kh, s.kw, s.stride, s.padding, s.padding};
  const auto go = [&](auto product, const auto& source) {
    using Kernel = ForwardProductKernel<typename decltype(product)::type>;
    typename Kernel::Args a{};
    a.x = source;
    a.weights = w.forward_pack;
    a.columns = static_cast<std::int32_t>(s.o);
    a.scale = w.scale.as<ChannelScale>();
    a.offset = w.offset.as<double>();
    a.bias = bias;
    a.y = args.y;
    a.statistics = args.statistics;
    a.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
    a.hi = a.lo + s.o;
    a.arrivals = &scratch()->arrivals;
    launch_product<Kernel>(s.o, a, a.x, {s.macs(), s.input_size() * LA + s.output_size() * 4});
    if (args.statistics != nullptr) {
      const auto* bytes = reinterpret_cast<const std::byte*>(&a);
      open_products_.push_back({used_ - 1,
                                static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&a.norm) - bytes),
                                args.statistics, s.o});
    }
  };
  if (s.groups != 1) return choose_grouped_product<ForwardProductKernel, LA, LB, false>(x, shape, w.tiles, go);
  choose_product<ForwardProductKernel, LA, LB, false, LA + LB == 2 ? 8 : 2>(x, shape, s.o, go);
}

void CudaLibrary::conv_forward(const ConvForward& of) {
  ConvForward args = of;
  const ProductBias bias = std::exchange(bias_, {});
  if (bias.y != nullptr) args.y = bias.y;
  // Memory of a step is shared: a product before may have had its statistics where this one's will be.
  std::erase_if(open_products_, [&](const OpenProduct& product) { return product.statistics == args.statistics; });
  const auto& w = static_cast<const CudaWeights&>(*args.weights);
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const auto inputs = static_cast<std::uint32_t>(s.input_size()), outputs = static_cast<std::uint32_t>(s.output_size());
  const int limbs = limbs_of(args.codes.width);
  const bool tensor = w.forward_pack.limbs == limbs && w.width.is_narrow() && s.kh * s.kw <= StreamedRows::kMostTaps &&
                      fits_tensor_cores(args.codes.width, limbs, limbs, s.forward_depth(), s.o);
  QuantiseInputKernel::Args quantise{};
  quantise.input = args.input;
  quantise.size = inputs;
  quantise.channels = static_cast<std::uint32_t>(s.c);
  quantise.codes = without_recorded_width(args.codes);
  quantise.scales = scale_ && scale_->affine == args.codes.affine && scale_->width == args.codes.width;
  if (quantise.scales) {
    quantise.scale = without_recorded_width(*scale_);
    scale_.reset();
  }
  quantise.prepares = tensor || args.statistics != nullptr;
  PrepareForward& prepare = quantise.prepare;
  prepare.x_width = {args.codes.width, args.codes.width_record};
  prepare.w_width = {w.width, w.width_record};
  prepare.x_range = args.input_range;
  prepare.w = w.affine.as<Affine>();
  prepare.magnitude = w.magnitude.as<float>();
  prepare.tap_sums = w.tap_sums.as<std::int64_t>();
  prepare.map = w.outputs;
  prepare.s = g;
  prepare.tables = tensor;
  prepare.scale = const_cast<ChannelScale*>(w.scale.as<ChannelScale>());
  prepare.offset = const_cast<double*>(w.offset.as<double>());
  prepare.statistics = args.statistics;
  prepare.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
  prepare.hi = prepare.lo + s.o;
  quantise.first_blocks =
      quantise.prepares ? prepare_blocks(tensor ? (w.output_classes + 1) * s.o : s.o) : (quantise.scales ? 1 : 0);
  settle();
  wait_for_branches();
  launch<QuantiseInputKernel>(
      blocks(inputs) + quantise.first_blocks, 0, quantise,
      {0, s.input_size() * (4 + static_cast<std::int64_t>(bytes_of(args.codes.width.container())))});
  if (tensor) {
    StreamedRows x{};
    x.codes = args.codes.codes;
    x.rows = g.n * g.out_h * g.out_w;
    x.h = Divisor(g.out_h);
    x.w = Divisor(g.out_w);
    x.stride = Divisor(g.stride);
    x.map = w.outputs;
    x.source_h = g.h;
    x.source_w = g.w;
    x.channels = s.groups == 1 ? g.c : w.tiles.window;
    x.pixel = g.c;
    x.kh = g.kh;
    x.kw = g.kw;
    x.padding = g.padding;
    x.set_offsets();
    if (limbs == 1) {
      forward_product<1, 1>(x, args, w, bias.values);
    } else {
      forward_product<2, 2>(x, args, w, bias.values);
    }
    return;
  }
  const auto is_narrow = [](BitWidth width) { return width.is_integer() && width.is_narrow(); };
  if (has_depthwise_kernels(s) && is_narrow(args.codes.width) && is_narrow(w.width)) {
    depthwise_forward(args, w);
  } else {
    loops_forward(args, w);
  }
  if (bias.y == nullptr) return;
  launch<AddBiasKernel>(blocks(outputs), 0, {args.y, bias.values, args.y, outputs, static_cast<std::uint32_t>(s.o)},
                        {0, std::int64_t{8} * outputs});
}

void CudaLibrary::loops_forward(const ConvForward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  const auto outputs = static_cast<std::uint32_t>(s.output_size());
  const SumType sum_type = sum_type_of(args.codes.width, w.width, s.forward_depth());
  if (sum_type == SumType::kFloat && s.groups == 1) {
    float_forward(args, w);
  } else {
    DirectForwardKernel::Args direct{};
    direct.s = geometry(s);
    direct.sum_type = sum_type;
    direct.x = without_recorded_width(args.codes);
    direct.weights = w.codes.as<std::uint32_t>();
    direct.weight_affine = w.affine.as<Affine>();
    direct.weight_width = {w.width, w.width_record};
    direct.y = args.y;
    direct.size = outputs;
    launch<DirectForwardKernel>(blocks(4 * std::min(outputs, UINT32_MAX / 4)), 0, direct, {s.macs(), 0});
  }
  if (args.statistics == nullptr) return;
  auto* keys = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
  launch<ChannelStatisticsKernel>(
      blocks(outputs), static_cast<std::size_t>(ChannelStatisticsKernel::shared_bytes(s.o)),
      {args.y, outputs, static_cast<std::uint32_t>(s.o), args.statistics, keys, keys + s.o, &scratch()->arrivals});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
