// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/ordered_gradient.h"

#include <algorithm>

#include "sim/number/order_free_sum.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

/// Sum of one image row's pixels that a tap uses, (channels).
void sum_pixels(const OrderedOperand& operand, int limbs, std::int64_t first, std::int64_t step, std::int64_t count,
                std::int64_t channels, double* sums) {
  std::fill_n(sums, channels, 0.0);
  for (std::int64_t p = 0; p < count; ++p) {
    const std::int64_t at = first + p * step;
    const double* low = operand.limb[0].data() + at;
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += low[c];
    if (limbs == 1) continue;
    const double* high = operand.limb[1].data() + at;
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += 65536.0 * high[c];
  }
}

}  // namespace

OrderedGradient::OrderedGradient(const ConvShape& s)
    : shape_(s),
      depthwise_(s.groups > 1 && s.c_per_group() == 1 && s.o_per_group() == 1),
      blocks_(depthwise_ ? 1 : s.groups),
      block_channels_(s.o / blocks_),
      in_channels_(s.c_per_group()),
      lanes_(lanes_for(block_channels_)) {
  for (std::int64_t kh = 0; kh < s.kh; ++kh) {
    for (std::int64_t kw = 0; kw < s.kw; ++kw) valid_.push_back(valid_outputs(s, kh, kw));
  }
  for (std::int64_t column = 0; column < s.out_w(); ++column) {
    TapRun run{column, column + 1, s.kw, 0};
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      const std::int64_t from = column * s.stride - s.padding + kw;
      if (from < 0 || from >= s.w) continue;
      run.kw = std::min(run.kw, kw);
      ++run.taps;
    }
    if (run.taps == 0) continue;
    if (!runs_.empty() && runs_.back().end == column && runs_.back().kw == run.kw && runs_.back().taps == run.taps) {
      ++runs_.back().end;
    } else {
      runs_.push_back(run);
    }
  }
}

void OrderedGradient::clear(Partial& partial) const {
  const std::int64_t accumulators = limbs_.x * limbs_.w * size(), taps = shape_.kh * shape_.kw;
  partial.total.zeroed(accumulators);
  if (!floats_) partial.accumulators.zeroed(accumulators);
  partial.sum_x.zeroed(taps * shape_.c);
  partial.sum_g.zeroed(taps * shape_.o);
  partial.pending = 0;
  partial.used = true;
}

template <typename T>
void OrderedGradient::accumulate(const KernelTable& kernels, const T* x, const T* g, T* accumulators) const {
  const ConvShape& s = shape_;
  OrderedGradientRow<T> row;
  row.x_step = s.stride * s.c;
  row.x_row = s.stride * s.w * s.c;
  row.dy_step = s.o;
  row.dy_row = s.out_w() * s.o;
  row.lanes = lanes_;
  row.depthwise = depthwise_;
  /// Columns begin..end - 1 of some rows, taps kh and `taps` from kw, for which all of them exist.
  const auto rows_of = [&](std::int64_t first, std::int64_t rows, std::int64_t begin, std::int64_t end, std::int64_t kh,
                           std::int64_t kw, std::int64_t taps) {
    row.rows = rows;
    row.pixels = end - begin;
    row.channels = taps * in_channels_;
    const std::int64_t h = first * s.stride - s.padding + kh, column = begin * s.stride - s.padding + kw;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      row.accumulators = accumulators + ((kh * s.kw + kw) * blocks_ + block) * in_channels_ * lanes_;
      row.x = x + (h * s.w + column) * s.c + block * in_channels_;
      row.dy = g + (first * s.out_w() + begin) * s.o + block * block_channels_;
      if constexpr (sizeof(T) == 4) {
        kernels.ordered_gradient32(row);
      } else {
        kernels.ordered_gradient64(row);
      }
    }
  };
  // Few channels: the taps of a kernel row lie one behind the other, and where they all exist they are one with more
  // channels.
  constexpr std::int64_t kFew = 8;
  if (blocks_ == 1 && !depthwise_ && in_channels_ < kFew && s.kw > 1) {
    for (std::int64_t kh = 0; kh < s.kh; ++kh) {
      const TapRectangle& rows = valid_[static_cast<std::size_t>(kh * s.kw)];
      for (std::int64_t oh = rows.oh_begin; oh < rows.oh_end; ++oh) {
        for (const auto& run : runs_) rows_of(oh, 1, run.begin, run.end, kh, run.kw, run.taps);
      }
    }
    return;
  }
  // As many rows at a time as the cache holds, since every few channels walk over them.
  constexpr std::int64_t kCached = std::int64_t{1} << 19;  // bytes
  const std::int64_t row_bytes = (s.stride * s.w * s.c + row.dy_row) * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t cached_rows = std::max<std::int64_t>(1, kCached / std::max<std::int64_t>(1, row_bytes));
  for (std::int64_t t = 0; t < s.kh * s.kw; ++t) {
    const TapRectangle& valid = valid_[static_cast<std::size_t>(t)];
    if (valid.ow_end <= valid.ow_begin) continue;
    for (std::int64_t oh = valid.oh_begin; oh < valid.oh_end; oh += cached_rows) {
      rows_of(oh, std::min(cached_rows, valid.oh_end - oh), valid.ow_begin, valid.ow_end, t / s.kw, t % s.kw, 1);
    }
  }
}

/// Sums of x and of g over the positions for which each tap exists. A row's sum serves every kh.
void OrderedGradient::add_operand_sums(Partial& partial) const {
  const ConvShape& s = shape_;
  double* sums = partial.row_sums.need(std::max(s.c, s.o));
  for (std::int64_t kw = 0; kw < s.kw; ++kw) {
    const TapRectangle& columns = valid_[static_cast<std::size_t>(kw)];
    const std::int64_t pixels = columns.ow_end - columns.ow_begin;
    if (pixels <= 0) continue;
    const std::int64_t first = columns.ow_begin * s.stride - s.padding + kw;
    for (std::int64_t h = 0; h < s.h; ++h) {
      bool summed = false;
      for (std::int64_t kh = 0; kh < s.kh; ++kh) {
        const std::int64_t y = h + s.padding - kh;
        if (y < 0 || y % s.stride != 0 || y / s.stride >= s.out_h()) continue;
        if (!summed) sum_pixels(partial.x, limbs_.x, (h * s.w + first) * s.c, s.stride * s.c, pixels, s.c, sums);
        summed = true;
        std::int64_t* to = partial.sum_x.data() + (kh * s.kw + kw) * s.c;
        for (std::int64_t i = 0; i < s.c; ++i) to[i] += static_cast<std::int64_t>(sums[i]);
      }
    }
    for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
      bool summed = false;
      for (std::int64_t kh = 0; kh < s.kh; ++kh) {
        const TapRectangle& valid = valid_[static_cast<std::size_t>(kh * s.kw + kw)];
        if (oh < valid.oh_begin || oh >= valid.oh_end) continue;
        if (!summed) {
          sum_pixels(partial.g, limbs_.w, (oh * s.out_w() + columns.ow_begin) * s.o, s.o, pixels, s.o, sums);
        }
        summed = true;
        std::int64_t* to = partial.sum_g.data() + (kh * s.kw + kw) * s.o;
        for (std::int64_t o = 0; o < s.o; ++o) to[o] += static_cast<std::int64_t>(sums[o]);
      }
    }
  }
}

void OrderedGradient::flush(Partial& partial) const {
  const std::int64_t count = limbs_.x * limbs_.w * size();
  double* accumulators = partial.accumulators.data();
  std::int64_t* total = partial.total.data();
  for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<std::int64_t>(accumulators[i]);
  std::fill_n(accumulators, count, 0.0);
  partial.pending = 0;
}

void OrderedGradient::add(const KernelTable& kernels, const Operand& x, const Operand& g, std::int64_t n,
                          Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t x_size = s.h * s.w * s.c, g_size = positions() * s.o;
  partial.x.load(x, n * x_size, x_size, limbs_.x, floats_);
  partial.g.load(g, n * g_size, g_size, limbs_.w, floats_);
  if (floats_) {
    float* accumulators = partial.float_accumulators.zeroed(size());
    accumulate(kernels, partial.x.data<float>(0), partial.g.data<float>(0), accumulators);
    kernels.add_on_grid(accumulators, size(), power_of_two(exponent_), partial.total.data());
    return;
  }
  // limbs_ keeps a single image's sums exact; more images only where they stay so.
  const auto images = [&](std::int64_t positions_so_far) {
    if (positions_so_far > kMaxOrderedDepth) return false;
    const Limbs wanted = limbs_for(x.width.bits(), g.width.bits(), positions_so_far);
    return wanted.x <= limbs_.x && wanted.w <= limbs_.w;
  };
  if (partial.pending > 0 && !images(partial.pending + positions())) flush(partial);
  partial.pending += positions();
  for (int j = 0; j < limbs_.w; ++j) {
    for (int i = 0; i < limbs_.x; ++i) {
      accumulate(kernels, partial.x.data<double>(i), partial.g.data<double>(j),
                 partial.accumulators.data() + (j * limbs_.x + i) * size());
    }
  }
  add_operand_sums(partial);
}

void OrderedGradient::finish(Workers& workers, std::vector<Partial>& partials, std::int64_t images, const Operand& x,
                             const Operand& g, float* dw) const {
  const ConvShape& s = shape_;
  const std::int64_t taps = s.kh * s.kw;
  for (auto& partial : partials) {
    if (partial.used && !floats_) flush(partial);
  }
  const WeightGradientScale scale = floats_ ? WeightGradientScale{} : weight_gradient_scale(*g.affine, *x.affine);
  const std::int64_t tasks_a_tap = (s.o + kLanes - 1) / kLanes;
  workers.each(taps * tasks_a_tap, [&](int, std::int64_t task) {
    const std::int64_t t = task / tasks_a_tap, first = task % tasks_a_tap * kLanes;
    const double terms = to_binary64(images * valid_[static_cast<std::size_t>(t)].size());
    for (std::int64_t o = first; o < std::min(s.o, first + kLanes); ++o) {
      const std::int64_t block = o / block_channels_;
      const std::int64_t first_channel = depthwise_ ? o : block * in_channels_;
      for (std::int64_t i = 0; i < in_channels_; ++i) {
        const std::int64_t at = ((t * blocks_ + block) * in_channels_ + i) * lanes_ + o % block_channels_;
        Int128 acc = 0;
        std::int64_t sum_x = 0, sum_g = 0;
        for (const auto& partial : partials) {
          if (!partial.used) continue;
          for (int j = 0; j < limbs_.w; ++j) {
            for (int k = 0; k < limbs_.x; ++k) {
              acc += static_cast<Int128>(partial.total.data()[(j * limbs_.x + k) * size() + at]) *
                     (Int128{1} << (kLimbBits * (j + k)));
            }
          }
          if (floats_) continue;
          sum_x += partial.sum_x.data()[t * s.c + first_channel + i];
          sum_g += partial.sum_g.data()[t * s.o + o];
        }
        float& out = dw[(o * taps + t) * in_channels_ + i];
        out = floats_ ? static_cast<float>(sum_value(static_cast<std::int64_t>(acc), exponent_))
                      : rescale_weight_gradient(scale, to_binary64(acc), to_binary64(sum_g), to_binary64(sum_x), terms);
      }
    }
  });
  for (auto& partial : partials) partial.used = false;
}

}  // namespace bitcycle::cpu
