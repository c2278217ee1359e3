// SPDX-License-Identifier: Apache-2.0
// Max pooling, a row of windows at a time, and the sums of a batch norm whose gradient comes from it.
#include <algorithm>
#include <cstring>

#include "sim/cpu/cpu_library.h"

namespace bitcycle::cpu {
namespace {

MaxPoolRow row_of(const PoolGeometry& over, std::int64_t oh) {
  MaxPoolRow row;
  row.h = over.h;
  row.w = over.w;
  row.channels = over.channels;
  row.kernel = over.kernel;
  row.stride = over.stride;
  row.first_row = oh * over.stride - over.padding;
  row.first_column = -over.padding;
  row.windows = over.out_w;
  return row;
}

}  // namespace

void CpuLibrary::max_pool(const MaxPool& args) {
  const auto timing = profile_.time("max pool");
  const PoolGeometry& over = args.over;
  const std::int64_t image = over.h * over.w * over.channels, out_row = over.out_w * over.channels;
  for (auto& state : states_) state.keys = {};
  workers_.each(over.n * over.out_h, [&](int thread, std::int64_t r) {
    MaxPoolRow row = row_of(over, r % over.out_h);
    row.x = args.x + r / over.out_h * image;
    row.z = args.z + r * out_row;
    kernels_.max_pool(row);
    auto& keys = states_[static_cast<std::size_t>(thread)].keys;
    if (args.range != nullptr) kernels_.range(row.z, out_row, &keys.lo, &keys.hi);
  });
  if (args.range == nullptr) return;
  KeyRange all;
  for (const auto& state : states_) include(all, state.keys);
  *args.range = canonical_range(all);
}

void CpuLibrary::max_pool_backward(const MaxPoolBackward& args) {
  const auto timing = profile_.time("max pool backward");
  const PoolGeometry& over = args.over;
  const std::int64_t in_row = over.w * over.channels, image = over.h * in_row, out_row = over.out_w * over.channels;
  const GradientSum* sum = args.gradient_sum;
  summed_norms_ = 0;
  gradient_sum_channels_ = over.channels;
  if (sum != nullptr) prepare_gradient_sum(*sum, 0.0, over.n * over.h * over.w, over.channels);
  begin_images();
  workers_.each(over.n, [&](int thread, std::int64_t n) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    begin_thread(state, over.channels);
    // Where the sum goes when it is all that is wanted.
    float* const dx = (args.dx != nullptr ? args.dx : sum->u) + n * image;
    std::memset(dx, 0, static_cast<std::size_t>(image) * sizeof(float));
    std::int64_t complete = 0;
    for (std::int64_t oh = 0; oh < over.out_h; ++oh) {
      MaxPoolRow row = row_of(over, oh);
      row.x = args.x + n * image;
      row.dz = args.dz + (n * over.out_h + oh) * out_row;
      row.dx = dx;
      kernels_.max_pool(row);
      // Rows that no later window reaches.
      const std::int64_t reached = (oh + 1) * over.stride - over.padding;
      const std::int64_t end = oh + 1 < over.out_h ? std::clamp(reached, complete, over.h) : over.h;
      const float* rows = dx + complete * in_row;
      if (args.dx_bound != nullptr) kernels_.magnitude(rows, (end - complete) * in_row, &state.dx_magnitude);
      if (sum != nullptr && end > complete) {
        sum_gradients_of_pixels(*sum, rows, n * over.h * over.w + complete * over.w, (end - complete) * over.w, state);
      }
      complete = end;
    }
  });
  if (args.dx_bound != nullptr) {
    std::int32_t magnitude = 0;
    for (const auto& state : states_) {
      if (state.used) magnitude = std::max(magnitude, state.dx_magnitude);
    }
    *args.dx_bound = float_of_bits(magnitude);
  }
  if (sum != nullptr) finish_gradient_sum(*sum, over.channels);
}

void CpuLibrary::norm_sums(const NormSums& args) {
  const auto timing = profile_.time("norm sums");
  GradientSum sum;
  sum.u = const_cast<float*>(args.u);  // each element is written as it is read
  sum.norm[0] = args.norm;
  summed_norms_ = 0;
  gradient_sum_channels_ = args.channels;
  prepare_gradient_sum(sum, static_cast<double>(*args.bound), args.positions, args.channels);
  begin_images();
  const std::int64_t grain = 8 * positions_at_once(args.channels);
  workers_.chunks(args.positions, grain, [&](int thread, std::int64_t begin, std::int64_t end) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    begin_thread(state, args.channels);
    sum_gradients_of_pixels(sum, args.u + begin * args.channels, begin, end - begin, state);
  });
  finish_gradient_sum(sum, args.channels);
}

}  // namespace bitcycle::cpu
