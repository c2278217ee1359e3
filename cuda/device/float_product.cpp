// SPDX-License-Identifier: Apache-2.0
// Convolutions in float32.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_float_product.h"
#include "cuda/kernels/kernels_float_weight_gradient.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

namespace {

std::int32_t tiles_of(std::int64_t size, std::int64_t each) {
  return static_cast<std::int32_t>((size + each - 1) / each);
}

}  // namespace

void CudaLibrary::float_forward(const ConvForward& args, const CudaWeights& w) {
  using Kernel = FloatForwardKernel;
  const ConvShape& s = args.shape;
  Kernel::Args a{};
  a.s = geometry(s);
  a.out_h = Divisor(std::max(a.s.out_h, 1));
  a.out_w = Divisor(std::max(a.s.out_w, 1));
  a.column_tiles = Divisor(std::max(tiles_of(s.o, FloatTile::kColumns), 1));
  a.tiles = tiles_of(s.n * s.out_h() * s.out_w(), FloatTile::kRows) * a.column_tiles.value;
  a.x = without_recorded_width(args.codes);
  a.weights = w.codes.as<std::uint32_t>();
  a.weight_affine = w.affine.as<Affine>();
  a.weight_width = {w.width, w.width_record};
  a.y = args.y;
  launch<Kernel>(std::max(a.tiles, 1), Kernel::kSharedBytes, a, {s.macs(), 4 * (s.input_size() + s.output_size())});
}

void CudaLibrary::float_error(const ConvBackward& args, const CudaWeights& w, float* dx) {
  using Kernel = FloatErrorKernel;
  const ConvShape& s = args.shape;
  Kernel::Args a{};
  a.s = geometry(s);
  a.column_tiles = Divisor(std::max(tiles_of(s.c, FloatTile::kColumns), 1));
  a.g = without_recorded_width(args.g);
  a.weights = w.width.is_float32() ? w.codes.as<std::uint32_t>() : w.error_codes.as<std::uint32_t>();
  a.error_affine = w.error_affine.as<Affine>();
  a.weight_width = {w.width, w.width_record};
  a.shared_grid = w.error_weights == ErrorWeights::kShared;
  a.dx = dx;
  a.dx_bound = args.dx_bound;
  const std::int32_t tiles =
      (tiles_of(s.n * s.h * s.w, FloatTile::kRows) + a.s.stride * a.s.stride - 1) * a.column_tiles.value;
  launch<Kernel>(std::max(tiles, 1), Kernel::kSharedBytes, a, {s.macs(), 4 * (s.input_size() + s.output_size())});
}

void CudaLibrary::float_weight_gradient(const ConvBackward& args, CudaWeights& w) {
  using Kernel = FloatWeightGradientKernel;
  const ConvShape& s = args.shape;
  Kernel::Args a{};
  a.s = geometry(s);
  a.out_w = Divisor(std::max(a.s.out_w, 1));
  a.column_tiles = Divisor(std::max(tiles_of(s.kh * s.kw * s.c, FloatTile::kColumns), 1));
  a.tiles = tiles_of(s.o, FloatTile::kRows) * a.column_tiles.value;
  // As many blocks as run at once, if there are samples enough.
  const std::int64_t blocks = std::int64_t{Kernel::kMinBlocks} * runtime_->processors();
  a.parts = Divisor(static_cast<std::int32_t>(
      std::clamp<std::int64_t>(blocks / std::max(a.tiles, 1), 1, std::max<std::int64_t>(s.n, 1))));
  a.x = without_recorded_width(args.x);
  a.g = without_recorded_width(args.g);
  a.x_range = args.x_range;
  a.g_range = args.g_range;
  a.sums = w.gradient_sums.as<std::int64_t>();
  a.arrivals = reinterpret_cast<std::uint32_t*>(a.sums + s.weight_size());
  a.dw = args.dw;
  launch<Kernel>(std::max(a.tiles * a.parts.value, 1), Kernel::kSharedBytes, a,
                 {s.macs(), 4 * (s.input_size() + s.output_size())});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
