// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/ordered_product.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "sim/ops/accumulator.h"

namespace bitcycle::cpu {
namespace {

constexpr int kExactBits = 53;

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
      values_at = out;
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
  values_at = static_cast<const float*>(operand.codes) + begin;
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
  // Rows whose pixels, of one phase each, use a panel of weights often enough.
  constexpr std::int64_t kPixelsAtOnce = 64;
  const std::int64_t period = error_pass ? s.stride : 1, wanted = kPixelsAtOnce * period * period;
  float_rows_at_once_ = std::clamp<std::int64_t>((wanted + out_w_ - 1) / std::max<std::int64_t>(1, out_w_), 1,
                                                 std::max<std::int64_t>(1, out_h_));
  rows_ = axis(in_h_, out_h_, s.kh);
  columns_ = axis(in_w_, out_w_, s.kw);
  row_run_.resize(static_cast<std::size_t>(out_h_));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (std::int64_t j = 0; j < rows_[i].count; ++j) {
      row_run_[static_cast<std::size_t>(rows_[i].first + j * rows_[i].step)] = static_cast<std::int64_t>(i);
    }
  }
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
  // Taps whose pixels and weights lie one behind the other, a row of the forward pass of one group, are one with more
  // channels.
  const bool row_is_one = sizeof(T) == 4 && !error_pass_ && blocks_ == 1 && !depthwise_;
  const std::size_t step = row_is_one ? std::max<std::size_t>(1, run.taps.size()) : 1;
  result.taps /= static_cast<std::int64_t>(step);
  for (std::size_t i = 0; i < rows.taps.size(); ++i) {
    for (std::size_t j = 0; j < run.taps.size(); j += step) {
      *offsets++ = ((rows.sources[i] + row) * in_w_ + run.sources[j]) * in_c_;
      *weight_offsets++ = (rows.taps[i] * shape_.kw + run.taps[j]) * in_channels_ * lanes_;
    }
  }
  result.channels = in_channels_ * static_cast<std::int64_t>(step);
  result.lanes = lanes_;
  result.depthwise = depthwise_;
  return result;
}

void OrderedProduct::float_rows(const KernelTable& kernels, std::int64_t first, std::int64_t rows, float* out,
                                State& state) const {
  const std::int64_t depth = taps_ * in_channels_;
  std::int64_t* const from = state.from.need(rows * out_w_);
  std::int64_t* const to = state.to.need(rows * out_w_);
  for (std::size_t k = 0; k < rows_.size(); ++k) {
    const AxisRun& row_run = rows_[k];
    for (const auto& run : columns_) {
      std::int64_t pixels = 0, some_row = -1;
      for (std::int64_t r = first; r < first + rows; ++r) {
        if (row_run_[static_cast<std::size_t>(r)] != static_cast<std::int64_t>(k)) continue;
        some_row = r;
        const std::int64_t row = (r - row_run.first) / row_run.step * row_run.source_step;
        for (std::int64_t i = 0; i < run.count; ++i, ++pixels) {
          from[pixels] = (row * in_w_ + i * run.source_step) * in_c_;
          to[pixels] = ((r - first) * out_w_ + run.first + i * run.step) * out_c_;
        }
      }
      if (pixels == 0) continue;
      const OrderedRow<float> taps = row_of<float>(some_row, run, state);
      const std::int64_t row = (some_row - row_run.first) / row_run.step * row_run.source_step * in_w_ * in_c_;
      std::int64_t* const weight_rows = state.weight_offsets.data();
      for (std::int64_t t = 0; t < taps.taps; ++t) {
        state.offsets.data()[t] -= row;
        weight_rows[t] /= lanes_;
      }
      FloatProductPixels product;
      product.from = from;
      product.pixels = pixels;
      product.taps = taps.taps;
      product.offsets = state.offsets.data();
      product.weight_rows = weight_rows;
      product.channels = taps.channels;
      product.rows = depth;
      product.lanes = block_channels_;
      product.to = to;
      for (std::int64_t block = 0; block < blocks_; ++block) {
        product.x = state.operand.values_at + block * in_channels_;
        product.weights = float_weights_.data() + block * depth * lanes_;
        product.out = out + block * block_channels_;
        kernels.float_product(product);
      }
    }
  }
}

void OrderedProduct::depthwise_float_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const {
  for (const auto& run : columns_) {
    OrderedRow<float> row = row_of<float>(r, run, state);
    // Whole blocks of lanes are stored where they belong.
    const bool direct = out_c_ == lanes_;
    float* const some = direct ? nullptr : state.accumulators.need(run.count * lanes_);
    row.out_step = direct ? run.step * out_c_ : lanes_;
    row.x = state.operand.values_at;
    row.weights = float_weights_.data();
    row.out = direct ? out + run.first * out_c_ : some;
    kernels.ordered_row32(row);
    for (std::int64_t p = 0; p < run.count && !direct; ++p) {
      std::copy_n(row.out + p * lanes_, out_c_, out + (run.first + p * run.step) * out_c_);
    }
  }
}

void OrderedProduct::integer_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const {
  const std::int64_t packed = blocks_ * taps_ * in_channels_ * lanes_, pixels = in_h_ * in_w_;
  std::int64_t scale =
      row_run_[static_cast<std::size_t>(r)] * static_cast<std::int64_t>(columns_.size()) * blocks_ * lanes_;
  for (const auto& run : columns_) {
    OrderedRow<double> row = row_of<double>(r, run, state);
    row.out_step = lanes_;
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

}  // namespace bitcycle::cpu
