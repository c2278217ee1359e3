// SPDX-License-Identifier: Apache-2.0
// The weight gradient of a convolution.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/products/kernels_weight_gradient.h"
#include "cuda/products/matmul_gradient.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr std::int64_t kMostPatchBytes = 96 * 1024;

template <int LG, int LX>
void CudaLibrary::weight_gradient_product(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const auto go = [&](auto mt) {
    using Kernel = WeightGradientProductKernel<LG, LX, decltype(mt)::value>;
    typename Kernel::Args a{};
    a.s = geometry(s);
    const std::int64_t taps = s.kh * s.kw, planes = (taps + 15) / 16;
    a.planes = static_cast<std::int32_t>(planes);
    // One tap would leave a block's columns empty: slices of sixteen channels take the place of taps.
    a.slices = taps == 1 && s.o % 16 == 0 && (s.groups == 1 || s.c % 16 == 0) ? Kernel::kMostSlices : 1;
    // With groups a block's output channels meet a window of the input channels.
    std::int64_t channels = s.c;
    if (s.groups != 1) {
      a.groups = gradient_tiles(s.o, s.c, s.groups, Kernel::kRows);
      channels = a.groups.window;
    }
    while (channels % (std::int64_t{16} * a.slices) != 0 && a.slices > 1) a.slices /= 2;
    const PatchShape patch{s.n, s.out_h(), s.out_w(), s.h, s.w, s.kh, s.kw, s.stride, s.padding, s.padding};
    // Three chunks are in shared memory at once, and leave room for another kernel's blocks.
    const auto most = std::min(static_cast<std::int64_t>(runtime_->shared_bytes()), kMostPatchBytes);
    std::int64_t bytes = 0;
    for (std::int64_t pixels = Kernel::kMostPixels; bytes == 0 || bytes > most; pixels = pixels * 3 / 4) {
      a.tiling = tiling_of(patch, Kernel::kMostPositions, std::max(pixels, taps));
      a.pixels = a.tiling.pixels();
      a.pitch = a.slices == 1 ? a.pixels : a.pixels | 1;
      a.positions = static_cast<std::int32_t>(rounded_up(a.tiling.positions(), 32));
      bytes = Kernel::shared_bytes(a.stage_pixels(), a.positions, planes);
    }
    a.g = args.g.codes;
    a.x = args.x.codes;
    a.existence = w.existence.as<std::uint8_t>();
    a.sums = gradient_sums(args, w);
    const Tiling& t = a.tiling;
    a.exact = t.positions() == a.positions && t.n % t.images == 0 && t.out_h % t.tile_h == 0 && t.out_w % t.tile_w == 0;
    a.segments = s.o % 16 == 0 && s.c % 16 == 0;
    a.constant_existence = t.tiles_h.value * t.tiles_w.value == 1;
    const auto tiles_of = [](std::int64_t size, std::int64_t each) {
      return Divisor(static_cast<std::int32_t>((size + each - 1) / each));
    };
    Kernel::set_offsets(a);
    a.row_tiles = tiles_of(s.o, Kernel::kRows);
    a.column_tiles = tiles_of(channels, std::int64_t{Kernel::kColumns} * a.slices);
    a.group_tiles = tiles_of(a.regular_groups() + planes, Kernel::kGroups);
    // A block a multiprocessor, two where each still has many chunks, each with as many chunks as there are for it, but
    // none so many that a 32-bit sum could overflow.
    const std::int64_t tiles = std::int64_t{a.row_tiles.value} * a.column_tiles.value * a.group_tiles.value;
    const std::int64_t at_once = t.chunks * tiles >= std::int64_t{16} * runtime_->processors() ? 2 : 1;
    const std::int64_t parts = std::max<std::int64_t>(1, at_once * runtime_->processors() / tiles);
    a.part = static_cast<std::int32_t>(std::clamp<std::int64_t>((t.chunks + parts - 1) / parts, 1, Kernel::kMostPart));
    const std::int64_t blocks = tiles * std::max<std::int64_t>(1, (t.chunks + a.part - 1) / a.part);
    launch<Kernel>(static_cast<int>(blocks), static_cast<std::size_t>(bytes), a,
                   {s.macs(), s.output_size() * LG + s.input_size() * LX});
  };
  if constexpr (LG + LX == 2) {
    if (s.o > 16) return go(std::integral_constant<int, 2>{});
  }
  go(std::integral_constant<int, 1>{});
}

/// A branch: what follows in the main sequence does not need it, but must not overwrite its codes before it has waited,
/// which is where the next gradient is quantised.
void CudaLibrary::weight_gradient(const ConvBackward& args, CudaWeights& w) {
  settle();
  branch_results_.push_back(args.dw);
  const Branch beside(*this);
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const int lg = limbs_of(args.g.width), lx = limbs_of(args.x.width);
  // Rows of a linear layer, of a sequence too.
  const bool bytes = args.g.width.is_integer() && lg == 1 && args.x.width.is_integer() && lx == 1;
  const std::int64_t rows = s.n * s.w;
  if (bytes && s.h == 1 && s.kh * s.kw == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1 && s.o % 4 == 0 &&
      s.c % 4 == 0 && rows <= MatmulGradientKernel::kMostRows) {
    constexpr std::int64_t kSide = MatmulGradientKernel::kSide;
    MatmulGradientKernel::Args matrix{};
    matrix.own = {static_cast<const std::uint8_t*>(args.g.codes), static_cast<const std::uint8_t*>(args.x.codes),
                  args.g.affine, args.x.affine};
    matrix.count = 1;
    matrix.rows = static_cast<std::int32_t>(rows);
    matrix.outputs = g.o;
    matrix.inputs = g.c;
    matrix.column_tiles = static_cast<std::int32_t>((s.c + kSide - 1) / kSide);
    matrix.dw = args.dw;
    launch<MatmulGradientKernel>(static_cast<int>((s.o + kSide - 1) / kSide * matrix.column_tiles),
                                 MatmulGradientKernel::kSharedBytes, matrix,
                                 {s.macs(), s.output_size() + s.input_size() + 4 * s.weight_size()});
    return;
  }
  const bool small = s.kh * s.kw <= StreamedRows::kMostTaps && s.out_h() * s.out_w() <= kMostPositions;
  if (small && packs_weights(s) && fits_tensor_cores(args.g.width, lg, lx, 1, s.o) &&
      fits_tensor_cores(args.x.width, lg, lx, 1, s.o)) {
    if (lg == 1 && lx == 1) weight_gradient_product<1, 1>(args, w);
    if (lg == 1 && lx == 2) weight_gradient_product<1, 2>(args, w);
    if (lg == 2 && lx == 1) weight_gradient_product<2, 1>(args, w);
    if (lg == 2 && lx == 2) weight_gradient_product<2, 2>(args, w);
    WeightGradientFinishKernel::Args finish{};
    finish.s = g;
    finish.c = Divisor(static_cast<std::int32_t>(s.c_per_group()));
    finish.o = Divisor(static_cast<std::int32_t>(s.o_per_group()));
    finish.taps = Divisor(g.kh * g.kw);
    finish.g = args.g.affine;
    finish.x = args.x.affine;
    finish.sums = gradient_sums(args, w);
    finish.terms = w.terms.as<std::int64_t>();
    finish.dw = args.dw;
    finish.size = static_cast<std::int32_t>(s.weight_size());
    finish.arrivals = reinterpret_cast<std::uint32_t*>(finish.sums.words + WeightGradientSums::size(s));
    launch<WeightGradientFinishKernel>(blocks(static_cast<std::uint32_t>(4 * finish.size)),
                                       WeightGradientFinishKernel::kSharedBytes, finish, {0, 20 * s.weight_size()});
    return;
  }
  const auto is_narrow = [](BitWidth width) { return width.is_integer() && width.is_narrow(); };
  if (has_depthwise_kernels(s) && is_narrow(args.g.width) && is_narrow(args.x.width))
    return depthwise_gradient(args, w);
  const SumType sum_type = sum_type_of(args.x.width, args.g.width, s.weight_gradient_depth());
  if (sum_type == SumType::kFloat && s.groups == 1) return float_weight_gradient(args, w);
  DirectWeightGradientKernel::Args direct{};
  direct.s = g;
  direct.sum_type = sum_type;
  direct.x = without_recorded_width(args.x);
  direct.g = without_recorded_width(args.g);
  direct.x_range = args.x_range;
  direct.g_range = args.g_range;
  direct.dw = args.dw;
  launch<DirectWeightGradientKernel>(
      static_cast<int>(std::min<std::int64_t>(s.weight_size(), 64 * runtime_->processors())),
      sizeof(DirectWeightGradientKernel::Shared<Int128>) * DirectWeightGradientKernel::kThreads, direct, {s.macs(), 0});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
