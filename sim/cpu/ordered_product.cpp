// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/ordered_product.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "sim/number/order_free_sum.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

constexpr int kLimbBits = 16, kExactBits = 53;

/// Maximal runs of outputs with the same taps; period: outputs that many apart read neighbouring sources.
template <typename Source>
std::vector<AxisRun> runs_of(std::int64_t outputs, std::int64_t kernel, std::int64_t period, std::int64_t source_step,
                             const Source& source) {
  std::vector<AxisRun> runs;
  for (std::int64_t phase = 0; phase < std::min(period, outputs); ++phase) {
    bool open = false;
    for (std::int64_t p = phase; p < outputs; p += period) {
      std::vector<std::int64_t> taps, sources;
      for (std::int64_t k = 0; k < kernel; ++k) {
        const std::int64_t from = source(p, k);
        if (from < 0) continue;
        taps.push_back(k);
        sources.push_back(from);
      }
      if (!open || runs.back().taps != taps) {
        runs.push_back({p, period, 0, std::move(taps), std::move(sources), source_step});
        open = true;
      }
      ++runs.back().count;
    }
  }
  return runs;
}

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

Limbs limbs_for(int x_bits, int w_bits, std::int64_t depth) {
  if (depth > kMaxOrderedDepth) throw std::logic_error("a sum of " + std::to_string(depth) + " products is too long");
  const int depth_bits = depth <= 1 ? 0 : static_cast<int>(std::bit_width(static_cast<std::uint64_t>(depth - 1)));
  const auto fits = [&](Limbs limbs) {
    const int x = limbs.x == 1 ? x_bits : kLimbBits, w = limbs.w == 1 ? w_bits : kLimbBits;
    return x + w + depth_bits <= kExactBits;
  };
  for (const Limbs limbs : {Limbs{1, 1}, Limbs{1, 2}, Limbs{2, 1}}) {
    if ((limbs.x == 1 || x_bits > kLimbBits) && (limbs.w == 1 || w_bits > kLimbBits) && fits(limbs)) return limbs;
  }
  return {2, 2};
}

void OrderedOperand::load(const Operand& operand, std::int64_t begin, std::int64_t size, int limbs, bool floats) {
  const auto each = [&](const auto* codes) {
    codes += begin;
    if (floats) {
      float* out = values.need(size);
      for (std::int64_t e = 0; e < size; ++e) {
        out[e] = static_cast<float>(dequantise(static_cast<std::uint32_t>(codes[e]), *operand.affine));
      }
    } else if (limbs == 1) {
      double* out = limb[0].need(size);
      for (std::int64_t e = 0; e < size; ++e) out[e] = static_cast<double>(codes[e]);
    } else {
      double* low = limb[0].need(size);
      double* high = limb[1].need(size);
      for (std::int64_t e = 0; e < size; ++e) {
        low[e] = static_cast<double>(static_cast<std::uint32_t>(codes[e]) & 0xFFFFU);
        high[e] = static_cast<double>(static_cast<std::uint32_t>(codes[e]) >> kLimbBits);
      }
    }
  };
  switch (operand.width.container()) {
    case Container::kUint8: return each(static_cast<const std::uint8_t*>(operand.codes));
    case Container::kUint16: return each(static_cast<const std::uint16_t*>(operand.codes));
    case Container::kUint32: return each(static_cast<const std::uint32_t*>(operand.codes));
    case Container::kFloat32: break;
  }
  std::copy_n(static_cast<const float*>(operand.codes) + begin, size, values.need(size));
}

OrderedProduct::OrderedProduct(const ConvShape& s, bool error_pass)
    : shape_(s),
      error_pass_(error_pass),
      depthwise_(s.groups > 1 && s.c_per_group() == 1 && s.o_per_group() == 1),
      in_h_(error_pass ? s.out_h() : s.h),
      in_w_(error_pass ? s.out_w() : s.w),
      in_c_(error_pass ? s.o : s.c),
      out_h_(error_pass ? s.h : s.out_h()),
      out_w_(error_pass ? s.w : s.out_w()),
      out_c_(error_pass ? s.c : s.o),
      taps_(s.kh * s.kw),
      blocks_(depthwise_ ? 1 : s.groups),
      block_channels_(out_c_ / blocks_),
      lanes_(lanes_for(block_channels_)),
      in_channels_(in_c_ / s.groups) {
  const auto axis = [&](std::int64_t in, std::int64_t out, std::int64_t kernel) {
    if (!error_pass) {
      return runs_of(out, kernel, 1, s.stride, [&](std::int64_t p, std::int64_t k) {
        const std::int64_t i = p * s.stride - s.padding + k;
        return i < in ? i : -1;
      });
    }
    return runs_of(out, kernel, s.stride, 1, [&](std::int64_t p, std::int64_t k) {
      const std::int64_t i = p + s.padding - k;
      return i >= 0 && i % s.stride == 0 && i / s.stride < in ? i / s.stride : -1;
    });
  };
  rows_ = axis(in_h_, out_h_, s.kh);
  columns_ = axis(in_w_, out_w_, s.kw);
  row_run_.resize(static_cast<std::size_t>(out_h_));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (std::int64_t j = 0; j < rows_[i].count; ++j) {
      row_run_[static_cast<std::size_t>(rows_[i].first + j * rows_[i].step)] = static_cast<std::int64_t>(i);
    }
  }
}

std::int64_t OrderedProduct::element(std::int64_t out, std::int64_t tap, std::int64_t in) const {
  const ConvShape& s = shape_;
  if (!error_pass_) return (out * taps_ + tap) * s.c_per_group() + in;
  const std::int64_t group = out / s.c_per_group();
  return ((group * s.o_per_group() + in) * taps_ + tap) * s.c_per_group() + out % s.c_per_group();
}

void OrderedProduct::load(const Operand& x, std::int64_t n, State& state) const {
  state.operand.load(x, n * in_size(), in_size(), limbs_.x, floats_);
  if (floats_ || depthwise_) return;
  const std::int64_t pixels = in_h_ * in_w_;
  double* sums = state.channel_sums.need(blocks_ * pixels);
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (std::int64_t block = 0; block < blocks_; ++block) {
      double sum = 0.0;
      const std::int64_t begin = p * in_c_ + block * in_channels_;
      for (std::int64_t i = begin; i < begin + in_channels_; ++i) sum += state.operand.code(i, limbs_.x);
      sums[block * pixels + p] = sum;
    }
  }
}

template <typename T>
OrderedRow<T> OrderedProduct::row_of(std::int64_t r, const AxisRun& run, State& state) const {
  const AxisRun& rows = rows_[static_cast<std::size_t>(row_run_[static_cast<std::size_t>(r)])];
  OrderedRow<T> result;
  result.pixels = run.count;
  result.pixel_step = run.source_step * in_c_;
  result.taps = static_cast<std::int64_t>(rows.taps.size() * run.taps.size());
  std::int64_t* offsets = state.offsets.need(taps_);
  std::int64_t* weight_offsets = state.weight_offsets.need(taps_);
  result.offsets = offsets;
  result.weight_offsets = weight_offsets;
  const std::int64_t row = (r - rows.first) / rows.step * rows.source_step;
  for (std::size_t i = 0; i < rows.taps.size(); ++i) {
    for (std::size_t j = 0; j < run.taps.size(); ++j) {
      *offsets++ = ((rows.sources[i] + row) * in_w_ + run.sources[j]) * in_c_;
      *weight_offsets++ = (rows.taps[i] * shape_.kw + run.taps[j]) * in_channels_ * lanes_;
    }
  }
  result.channels = in_channels_;
  result.lanes = lanes_;
  result.depthwise = depthwise_;
  return result;
}

void OrderedProduct::float_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const {
  for (const auto& run : columns_) {
    OrderedRow<float> row = row_of<float>(r, run, state);
    row.out = state.accumulators.need(run.count * lanes_);
    for (std::int64_t block = 0; block < blocks_; ++block) {
      row.x = state.operand.values.data() + block * in_channels_;
      row.weights = float_weights_.data() + block * taps_ * in_channels_ * lanes_;
      kernels.ordered_row32(row);
      for (std::int64_t p = 0; p < run.count; ++p) {
        std::copy_n(row.out + p * lanes_, block_channels_,
                    out + (run.first + p * run.step) * out_c_ + block * block_channels_);
      }
    }
  }
}

void OrderedProduct::integer_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const {
  const std::int64_t packed = blocks_ * taps_ * in_channels_ * lanes_, pixels = in_h_ * in_w_;
  std::int64_t scale =
      row_run_[static_cast<std::size_t>(r)] * static_cast<std::int64_t>(columns_.size()) * blocks_ * lanes_;
  for (const auto& run : columns_) {
    OrderedRow<double> row = row_of<double>(r, run, state);
    const std::int64_t size = run.count * lanes_;
    double* sums = state.sums.need(4 * size);
    RescaleSums rescale;
    rescale.sums = sums;
    rescale.pixels = run.count;
    rescale.channels = block_channels_;
    rescale.lanes = lanes_;
    rescale.out_step = run.step * out_c_;
    for (std::int64_t block = 0; block < blocks_; ++block, scale += lanes_) {
      for (int i = 0; i < limbs_.x; ++i) {
        for (int j = 0; j < limbs_.w; ++j) {
          row.x = state.operand.limb[i].data() + block * in_channels_;
          row.weights = weights_.data() + j * packed + block * taps_ * in_channels_ * lanes_;
          row.out = sums + (i * limbs_.w + j) * size;
          kernels.ordered_row64(row);
        }
      }
      if (limbs_.x * limbs_.w > 1) {
        for (std::int64_t e = 0; e < size; ++e) {
          Int128 sum = 0;
          for (int i = 0; i < limbs_.x; ++i) {
            for (int j = 0; j < limbs_.w; ++j) {
              // A product with a power of two, because a negative number must not be shifted.
              sum += static_cast<Int128>(static_cast<std::int64_t>(sums[(i * limbs_.w + j) * size + e])) *
                     (Int128{1} << (kLimbBits * (i + j)));
            }
          }
          sums[e] = to_binary64(sum);
        }
      }
      if (depthwise_) {
        row.weights = ones_.data();
        double* lane_sums = state.lane_sums.need(2 * size);
        for (int i = 0; i < limbs_.x; ++i) {
          row.x = state.operand.limb[i].data();
          row.out = lane_sums + i * size;
          kernels.ordered_row64(row);
        }
        for (std::int64_t e = 0; e < size && limbs_.x == 2; ++e) lane_sums[e] += 65536.0 * lane_sums[size + e];
        rescale.lane_sums = lane_sums;
      } else {
        double* position_sums = state.position_sums.zeroed(run.count);
        for (std::int64_t t = 0; t < row.taps; ++t) {
          const double* from = state.channel_sums.data() + block * pixels + row.offsets[t] / in_c_;
          for (std::int64_t p = 0; p < run.count; ++p) position_sums[p] += from[p * run.source_step];
        }
        rescale.position_sums = position_sums;
      }
      rescale.a = scale_a_.data() + scale;
      rescale.b = scale_b_.data() + scale;
      rescale.offset = scale_e_.data() + scale;
      rescale.out = out + run.first * out_c_ + block * block_channels_;
      kernels.rescale_sums(rescale);
    }
  }
}

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
  row.dy_step = s.o;
  row.channels = in_channels_;
  row.lanes = lanes_;
  row.depthwise = depthwise_;
  for (std::int64_t t = 0; t < s.kh * s.kw; ++t) {
    const TapRectangle& valid = valid_[static_cast<std::size_t>(t)];
    row.pixels = valid.ow_end - valid.ow_begin;
    if (row.pixels <= 0) continue;
    const std::int64_t column = valid.ow_begin * s.stride - s.padding + t % s.kw;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      row.accumulators = accumulators + (t * blocks_ + block) * in_channels_ * lanes_;
      for (std::int64_t oh = valid.oh_begin; oh < valid.oh_end; ++oh) {
        const std::int64_t h = oh * s.stride - s.padding + t / s.kw;
        row.x = x + (h * s.w + column) * s.c + block * in_channels_;
        row.dy = g + (oh * s.out_w() + valid.ow_begin) * s.o + block * block_channels_;
        if constexpr (sizeof(T) == 4) {
          kernels.ordered_gradient32(row);
        } else {
          kernels.ordered_gradient64(row);
        }
      }
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
  workers.each(taps, [&](int, std::int64_t t) {
    const double terms = to_binary64(images * valid_[static_cast<std::size_t>(t)].size());
    for (std::int64_t o = 0; o < s.o; ++o) {
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
