// SPDX-License-Identifier: Apache-2.0
// OrderedGradient: weight gradients that the byte kernels do not take, by the same sums as ordered_product.h.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/ordered_product.h"

namespace bitcycle::cpu {

/// The weight gradient of one shape.
class OrderedGradient {
 public:
  OrderedGradient() = default;
  explicit OrderedGradient(const ConvShape& shape);

  /// One thread's sums.
  struct Partial {
    OrderedOperand x, g;
    Scratch<double> accumulators, row_sums;  // (limbs of g, limbs of x, taps, blocks, channels, lanes)
    Scratch<float> float_accumulators;       // (taps, blocks, channels, lanes)
    Scratch<std::int64_t> total;             // as the accumulators; of float32, sums on the grid
    Scratch<std::int64_t> sum_x, sum_g;      // (taps, c), (taps, o)
    std::int64_t pending = 0;
    bool used = false;

    template <typename Visit>
    static void each_scratch(Partial& a, const Partial& b, const Visit& visit) {
      OrderedOperand::each_scratch(a.x, b.x, visit);
      OrderedOperand::each_scratch(a.g, b.g, visit);
      visit(a.accumulators, b.accumulators);
      visit(a.row_sums, b.row_sums);
      visit(a.float_accumulators, b.float_accumulators);
      visit(a.total, b.total);
      visit(a.sum_x, b.sum_x);
      visit(a.sum_g, b.sum_g);
    }
  };

  std::int64_t positions() const { return shape_.out_h() * shape_.out_w(); }
  void set_integers(int x_bits, int g_bits) {
    limbs_ = limbs_for(x_bits, g_bits, positions());
    floats_ = false;
  }
  /// exponent: the grid on which samples' sums are added (docs/numerics.md, 6.2).
  void set_floats(int exponent) {
    floats_ = true;
    limbs_ = {};
    exponent_ = exponent;
  }

  int exponent() const { return exponent_; }

  void clear(Partial& partial) const;
  /// Image n of both operands.
  void add(const KernelTable& kernels, const Operand& x, const Operand& g, std::int64_t n, Partial& partial) const;
  /// dw of `images` images from all threads' sums.
  void finish(Workers& workers, std::vector<Partial>& partials, std::int64_t images, const Operand& x, const Operand& g,
              float* dw) const;

 private:
  template <typename T>
  void accumulate(const KernelTable& kernels, const T* x, const T* g, T* accumulators) const;
  void add_operand_sums(Partial& partial) const;
  void flush(Partial& partial) const;
  std::int64_t size() const { return shape_.kh * shape_.kw * blocks_ * in_channels_ * lanes_; }

  ConvShape shape_;
  bool depthwise_ = false, floats_ = false;
  std::int64_t blocks_ = 0, block_channels_ = 0, in_channels_ = 0, lanes_ = 0;
  /// Output columns begin..end - 1, for which taps kw..kw + taps - 1 of a kernel row exist, and no others.
  struct TapRun {
    std::int64_t begin = 0, end = 0, kw = 0, taps = 0;
  };
  std::vector<TapRectangle> valid_;  // (taps)
  std::vector<TapRun> runs_;         // ascending
  Limbs limbs_;
  int exponent_ = 0;
};

}  // namespace bitcycle::cpu
