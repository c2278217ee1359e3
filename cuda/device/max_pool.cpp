// SPDX-License-Identifier: Apache-2.0
// Max pooling, and the sums of a batch norm whose gradient comes from it.
#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_max_pool.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

namespace {

/// Extents for threads that go through rows of so many pixels, `lanes` channels at a time.
PoolExtents extents(const PoolGeometry& over, std::int64_t rows, std::int64_t columns, int lanes) {
  const auto word = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  PoolExtents e;
  e.h = word(over.h);
  e.w = word(over.w);
  e.channels = word(over.channels);
  e.out_h = word(over.out_h);
  e.out_w = word(over.out_w);
  e.kernel = word(over.kernel);
  e.stride = word(over.stride);
  e.padding = word(over.padding);
  e.by_slices = Divisor(word(over.channels / lanes));
  e.by_columns = Divisor(word(columns));
  e.by_rows = Divisor(word(rows));
  e.by_stride = Divisor(e.stride);
  return e;
}
/// Gives `go` how many channels a thread takes.
template <typename Go>
void by_lanes(const PoolGeometry& over, const Go& go) {
  if (over.channels % 4 == 0) {
    go(std::integral_constant<int, 4>{});
  } else {
    go(std::integral_constant<int, 1>{});
  }
}

}  // namespace

void CudaLibrary::max_pool(const MaxPool& args) {
  const PoolGeometry& over = args.over;
  elements(over.n * over.h * over.w * over.channels, "max pool");
  const std::uint32_t size = elements(over.n * over.out_h * over.out_w * over.channels, "max pool");
  by_lanes(over, [&](auto lanes) {
    using Kernel = MaxPoolKernel<decltype(lanes)::value>;
    launch<Kernel>(blocks(size), Kernel::kSharedBytes,
                   {extents(over, over.out_h, over.out_w, lanes), args.x, args.z, args.range, size, scratch()},
                   {0, 4 * (over.n * over.h * over.w * over.channels + std::int64_t{size})});
  });
}

void CudaLibrary::max_pool_backward(const MaxPoolBackward& args) {
  const PoolGeometry& over = args.over;
  const std::uint32_t size = elements(over.n * over.h * over.w * over.channels, "max pool");
  const GradientSum sum = args.gradient_sum == nullptr ? GradientSum{} : *args.gradient_sum;
  if (args.dx_bound != nullptr || sum.u_bound != nullptr) {
    launch<NormSumsPrepareKernel>(1, 0, {{}, nullptr, {args.dx_bound, sum.u_bound}, over.channels, 0});
  }
  by_lanes(over, [&](auto lanes) {
    launch<MaxPoolBackwardKernel<decltype(lanes)::value>>(
        blocks(size), 0,
        {extents(over, over.h, over.w, lanes), args.x, args.dz, args.dx, args.dx_bound, args.gradient_sum != nullptr,
         sum, size},
        {0, 8 * std::int64_t{size} + 4 * over.n * over.out_h * over.out_w * over.channels});
  });
}

void CudaLibrary::norm_sums(const NormSums& args) {
  GradientSum sum;
  sum.u = const_cast<float*>(args.u);  // each element is written as it is read
  sum.norm[0] = args.norm;
  launch<NormSumsPrepareKernel>(
      1, 0, {sum, args.bound, {nullptr, nullptr}, args.channels, static_cast<std::uint64_t>(args.positions)});
  sum_gradients(sum, args.u, nullptr, nullptr, true, 1, args.positions, args.channels);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
