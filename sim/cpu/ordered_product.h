// SPDX-License-Identifier: Apache-2.0
// Products that the byte kernels do not take: codes of 9 to 32 bits, groups, reductions too long for int32, and
// float32. All are sums of fma over taps and channels in the order of docs/numerics.md, 6.2: binary32 where an
// operand is float32; else binary64 over integers, cut into limbs of 16 bits where a sum could pass 2^53, so that every
// sum is exact and the limbs' sums make the true one in 128 bits.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::cpu {

/// Longest sum: with limbs of 16 bits, 2^21 products stay below 2^53, and 2^21 codes of 32 bits do.
constexpr std::int64_t kMaxOrderedDepth = std::int64_t{1} << 21;

constexpr int kLimbBits = 16;

/// How the two operands of a product are cut, each into 1 or 2.
struct Limbs {
  int x = 1, w = 1;
};
/// Fewest limbs for which sums of `depth` products stay below 2^53. Throws std::logic_error above kMaxOrderedDepth.
Limbs limbs_for(int x_bits, int w_bits, std::int64_t depth);

/// Outputs first, first + step, ... along one axis through the same taps.
struct AxisRun {
  std::int64_t first = 0, step = 1, count = 0;
  std::vector<std::int64_t> taps;
  std::vector<std::int64_t> sources;  // (taps) what output `first` reads
  std::int64_t source_step = 1;       // from one output to the next
};

/// One image of a streamed operand, as limbs in binary64, or as binary32 values.
struct OrderedOperand {
  Scratch<double> limb[2];
  Scratch<float> values;
  const float* values_at = nullptr;  // these, or a float32 operand itself

  template <typename Visit>
  static void each_scratch(OrderedOperand& a, const OrderedOperand& b, const Visit& visit) {
    visit(a.limb[0], b.limb[0]);
    visit(a.limb[1], b.limb[1]);
    visit(a.values, b.values);
  }
  template <typename T>
  const T* data(int i) const {
    if constexpr (sizeof(T) == 4) {
      return values_at;
    } else {
      return limb[i].data();
    }
  }
  /// Elements begin..begin + size of an operand; floats: as values (docs/numerics.md, 1.5).
  void load(const Operand& operand, std::int64_t begin, std::int64_t size, int limbs, bool floats);
  /// The whole code of element e.
  double code(std::int64_t e, int limbs) const {
    return limbs == 1 ? limb[0].data()[e] : limb[0].data()[e] + 65536.0 * limb[1].data()[e];
  }
};

/// Scale of one output channel: value = fl32(fma(a, acc, fma(b, streamed sum, e))).
struct OrderedScale {
  double a = 0.0, b = 0.0, e = 0.0;
};

/// The forward or the error pass of one shape.
class OrderedProduct {
 public:
  OrderedProduct() = default;
  OrderedProduct(const ConvShape& shape, bool error_pass);

  /// One thread's memory.
  struct State {
    OrderedOperand operand;
    Scratch<double> sums, lane_sums, channel_sums, position_sums;
    Scratch<float> accumulators;
    Scratch<std::int64_t> offsets, weight_offsets, from, to;

    template <typename Visit>
    static void each_scratch(State& a, const State& b, const Visit& visit) {
      OrderedOperand::each_scratch(a.operand, b.operand, visit);
      visit(a.sums, b.sums);
      visit(a.lane_sums, b.lane_sums);
      visit(a.channel_sums, b.channel_sums);
      visit(a.position_sums, b.position_sums);
      visit(a.accumulators, b.accumulators);
      visit(a.offsets, b.offsets);
      visit(a.weight_offsets, b.weight_offsets);
      visit(a.from, b.from);
      visit(a.to, b.to);
    }
  };

  std::int64_t in_size() const { return in_h_ * in_w_ * in_c_; }
  std::int64_t out_h() const { return out_h_; }
  std::int64_t out_row_size() const { return out_w_ * out_c_; }
  std::int64_t out_channels() const { return out_c_; }
  std::int64_t depth() const { return taps_ * in_channels_; }

  /// Weights as integers: code(element of the master weights, limb or -1 for the whole), and the scale of each output
  /// channel for [q_w] and the number of terms of a set of taps: scale(out channel, sum, terms).
  template <typename Code, typename Scale>
  void set_integers(Limbs limbs, const Code& code, const Scale& scale);
  /// Weights as binary32: value(element).
  template <typename Value>
  void set_floats(Workers& workers, const Value& value);

  /// One image to values; done(first row, rows, their values) after some rows. out: the whole image, or null.
  template <typename Done>
  void image(const KernelTable& kernels, const Operand& x, std::int64_t n, float* out, Scratch<float>& some,
             State& state, const Done& done) const {
    load(x, n, state);
    const std::int64_t row_size = out_row_size(), step = floats_ && !depthwise_ ? float_rows_at_once_ : 1;
    float* const kept = out == nullptr ? some.need(step * row_size) : nullptr;
    for (std::int64_t r = 0; r < out_h_; r += step) {
      const std::int64_t rows = std::min(step, out_h_ - r);
      float* values = kept == nullptr ? out + r * row_size : kept;
      if (floats_ && !depthwise_) {
        float_rows(kernels, r, rows, values, state);
      } else if (floats_) {
        depthwise_float_row(kernels, r, values, state);
      } else {
        integer_row(kernels, r, values, state);
      }
      done(r, rows, static_cast<const float*>(values));
    }
  }

 private:
  void load(const Operand& x, std::int64_t n, State& state) const;
  void float_rows(const KernelTable& kernels, std::int64_t first, std::int64_t rows, float* out, State& state) const;
  void depthwise_float_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const;
  void integer_row(const KernelTable& kernels, std::int64_t r, float* out, State& state) const;
  template <typename T>
  OrderedRow<T> row_of(std::int64_t r, const AxisRun& run, State& state) const;
  /// Master weight of (output channel, tap, reduced channel of the group).
  std::int64_t element(std::int64_t out, std::int64_t tap, std::int64_t in) const {
    const ConvShape& s = shape_;
    if (!error_pass_) return (out * taps_ + tap) * s.c_per_group() + in;
    const std::int64_t group = out / s.c_per_group();
    return ((group * s.o_per_group() + in) * taps_ + tap) * s.c_per_group() + out % s.c_per_group();
  }
  /// Index of a weight in the packed order (blocks, taps, reduced channels, lanes).
  std::int64_t packed_index(std::int64_t out, std::int64_t tap, std::int64_t in) const {
    return ((out / block_channels_ * taps_ + tap) * in_channels_ + in) * lanes_ + out % block_channels_;
  }
  template <typename Visit>
  void each_weight(const Visit& visit) const {
    for (std::int64_t out = 0; out < out_c_; ++out) {
      for (std::int64_t tap = 0; tap < taps_; ++tap) {
        for (std::int64_t in = 0; in < in_channels_; ++in) visit(out, tap, in);
      }
    }
  }

  ConvShape shape_;
  bool error_pass_ = false, depthwise_ = false, floats_ = false;
  std::int64_t in_h_ = 0, in_w_ = 0, in_c_ = 0, out_h_ = 0, out_w_ = 0, out_c_ = 0, taps_ = 0;
  /// Output channels that are made together: those of a group, or all of a depthwise convolution.
  std::int64_t blocks_ = 0, block_channels_ = 0, lanes_ = 0;
  std::int64_t in_channels_ = 0;  // of one reduction
  std::vector<AxisRun> rows_, columns_;
  std::vector<std::int64_t> row_run_;  // (out_h)
  std::int64_t float_rows_at_once_ = 1;
  Limbs limbs_;
  Scratch<double> weights_;                      // (limbs, packed)
  Scratch<float> float_weights_;                 // (blocks, panels, taps, reduced channels, lanes of a panel)
  Scratch<double> ones_;                         // depthwise: (taps, lanes), for the streamed sums
  Scratch<double> tap_sums_;                     // (out_c, taps)
  Scratch<double> scale_a_, scale_b_, scale_e_;  // (row runs, column runs, blocks, lanes)
};

template <typename Code, typename Scale>
void OrderedProduct::set_integers(Limbs limbs, const Code& code, const Scale& scale) {
  floats_ = false;
  limbs_ = limbs;
  const std::int64_t size = blocks_ * taps_ * in_channels_ * lanes_;
  double* packed = weights_.zeroed(limbs.w * size);
  double* sums = tap_sums_.zeroed(out_c_ * taps_);
  each_weight([&](std::int64_t out, std::int64_t tap, std::int64_t in) {
    const auto value = static_cast<std::int64_t>(code(element(out, tap, in)));
    const std::int64_t at = packed_index(out, tap, in);
    sums[out * taps_ + tap] += static_cast<double>(value);
    if (limbs.w == 1) {
      packed[at] = static_cast<double>(value);
    } else {
      packed[at] = static_cast<double>(value & 0xFFFF);
      packed[size + at] = static_cast<double>(value >> 16);
    }
  });
  if (depthwise_) {
    double* ones = ones_.need(taps_ * lanes_);
    for (std::int64_t i = 0; i < taps_ * lanes_; ++i) ones[i] = 1.0;
  }
  const std::int64_t count = static_cast<std::int64_t>(rows_.size() * columns_.size()) * blocks_ * lanes_;
  double* a = scale_a_.zeroed(count);
  double* b = scale_b_.zeroed(count);
  double* e = scale_e_.zeroed(count);
  std::int64_t at = 0;
  for (const auto& row : rows_) {
    for (const auto& column : columns_) {
      const auto terms =
          static_cast<double>(static_cast<std::int64_t>(row.taps.size() * column.taps.size()) * in_channels_);
      for (std::int64_t out = 0; out < out_c_; ++out) {
        double sum = 0.0;
        for (const auto kh : row.taps) {
          for (const auto kw : column.taps) sum += sums[out * taps_ + kh * shape_.kw + kw];
        }
        const OrderedScale made = scale(out, sum, terms);
        const std::int64_t lane = at + out / block_channels_ * lanes_ + out % block_channels_;
        a[lane] = made.a;
        b[lane] = made.b;
        e[lane] = made.e;
      }
      at += blocks_ * lanes_;
    }
  }
}

template <typename Value>
void OrderedProduct::set_floats(Workers& workers, const Value& value) {
  floats_ = true;
  limbs_ = {};
  const std::int64_t depth = taps_ * in_channels_, panels = (lanes_ + kPanelLanes - 1) / kPanelLanes;
  // Idle lanes stay 0.
  float* const packed = float_weights_.need(blocks_ * depth * lanes_);
  workers.each(blocks_ * panels, [&](int, std::int64_t task) {
    const std::int64_t block = task / panels, first = task % panels * kPanelLanes;
    const std::int64_t width = depthwise_ ? lanes_ : std::min(kPanelLanes, lanes_ - first);
    const std::int64_t lanes = std::min(kPanelLanes, block_channels_ - first), out = block * block_channels_ + first;
    float* const panel = packed + block * depth * lanes_ + (depthwise_ ? first : first * depth);
    // As many channels at a time as a cache line holds, since either the lanes or the channels lie far apart.
    constexpr std::int64_t kAtOnce = 16;
    for (std::int64_t tap = 0; tap < taps_; ++tap) {
      for (std::int64_t in = 0; in < in_channels_; in += kAtOnce) {
        const std::int64_t end = std::min(in_channels_, in + kAtOnce);
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          for (std::int64_t i = in; i < end; ++i) {
            panel[(tap * in_channels_ + i) * width + lane] = value(element(out + lane, tap, i));
          }
        }
      }
    }
  });
}

}  // namespace bitcycle::cpu
