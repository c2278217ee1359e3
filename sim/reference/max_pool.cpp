// SPDX-License-Identifier: Apache-2.0
// Max pooling (docs/numerics.md, 6.7), and the sums of a batch norm whose gradient comes from it.
#include <algorithm>

#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

/// visit(output, input): the elements of a window's result and of its maximum, windows in row order.
template <typename Visit>
void for_each_maximum(const PoolGeometry& over, const float* x, const Visit& visit) {
  for (std::int64_t n = 0; n < over.n; ++n) {
    for (std::int64_t oh = 0; oh < over.out_h; ++oh) {
      for (std::int64_t ow = 0; ow < over.out_w; ++ow) {
        const std::int64_t row = oh * over.stride - over.padding, column = ow * over.stride - over.padding;
        for (std::int64_t c = 0; c < over.channels; ++c) {
          std::int64_t best = -1;
          for (std::int64_t i = std::max<std::int64_t>(0, row); i < std::min(over.h, row + over.kernel); ++i) {
            for (std::int64_t j = std::max<std::int64_t>(0, column); j < std::min(over.w, column + over.kernel); ++j) {
              const std::int64_t at = ((n * over.h + i) * over.w + j) * over.channels + c;
              if (best < 0 || x[at] > x[best]) best = at;
            }
          }
          visit(((n * over.out_h + oh) * over.out_w + ow) * over.channels + c, best);
        }
      }
    }
  }
}

}  // namespace

void max_pool(const MaxPool& args) {
  const PoolGeometry& over = args.over;
  for_each_maximum(over, args.x, [&](std::int64_t out, std::int64_t in) { args.z[out] = args.x[in]; });
  if (args.range != nullptr) tensor_range(args.z, over.n * over.out_h * over.out_w * over.channels, args.range);
}

void max_pool_backward(const MaxPoolBackward& args) {
  const PoolGeometry& over = args.over;
  const std::int64_t positions = over.n * over.h * over.w, size = positions * over.channels;
  std::vector<float> dx(static_cast<std::size_t>(size), 0.0F);
  for_each_maximum(over, args.x, [&](std::int64_t out, std::int64_t in) {
    float& to = dx[static_cast<std::size_t>(in)];
    to = to + args.dz[out];
  });
  if (args.dx != nullptr) std::copy(dx.begin(), dx.end(), args.dx);
  if (args.dx_bound != nullptr) *args.dx_bound = max_magnitude(dx.data(), size);
  if (args.gradient_sum != nullptr) sum_gradients(*args.gradient_sum, dx, 0.0, positions, over.channels);
}

void norm_sums(const NormSums& args) {
  const std::vector<float> u(args.u, args.u + args.positions * args.channels);
  std::vector<float> same(u.size());
  GradientSum sum;
  sum.u = same.data();
  sum.norm[0] = args.norm;
  sum_gradients(sum, u, static_cast<double>(*args.bound), args.positions, args.channels);
}

}  // namespace bitcycle::reference
