// SPDX-License-Identifier: Apache-2.0
// From exact integer sums to a binary32 value: the coefficients and the one written order of docs/numerics.md, section
// 4, for the three passes. Every library calls these functions or does the same operations.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"
#include "sim/ops/accumulator.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

/// An integer in binary64, one rounding to nearest even (4.6).
BITCYCLE_HD double to_binary64(std::int64_t v) { return static_cast<double>(v); }

/// The same from 128 bits: the leading 64 bits, the lowest of them set where anything below it is, round as the whole.
BITCYCLE_HD double to_binary64(Int128 v) {
  const auto narrow = static_cast<std::int64_t>(v);
  if (narrow == v) return static_cast<double>(narrow);
  using Unsigned128 = unsigned __int128;
  Unsigned128 magnitude = v < 0 ? ~static_cast<Unsigned128>(v) + 1 : static_cast<Unsigned128>(v);
  int shift = 0;
  bool sticky = false;
  while ((magnitude >> 64) != 0) {
    sticky = sticky || (magnitude & 1) != 0;
    magnitude >>= 1;
    ++shift;
  }
  const std::uint64_t leading = static_cast<std::uint64_t>(magnitude) | (sticky ? 1U : 0U);
  const double value = ldexp(static_cast<double>(leading), shift);
  return v < 0 ? -value : value;
}

/// value = fl32(fma(A, acc, fma(B, sum, E))).
BITCYCLE_HD float rescale(double a, double acc, double b, double sum, double e) {
  return static_cast<float>(fma(a, acc, fma(b, sum, e)));
}

/// Forward (4.2) and the error pass with `requantised` weights (4.3): x is the streamed operand (activation or
/// gradient), w one group of the weights (output channel, resp. input channel).
struct ProductScale {
  double a;  // fl64(s_x * s_w), of [q_x q_w]
  double b;  // fl64(s_x * lo_w), of [q_x]
};
BITCYCLE_HD ProductScale product_scale(const Affine& x, const Affine& w) { return {x.step * w.step, x.step * w.lo}; }

/// E = fl64(lo_x * fma(s_w, [q_w], fl64(lo_w * n))): sum_w = [q_w] and n over the taps that exist.
BITCYCLE_HD double product_offset(const Affine& x, const Affine& w, double sum_w, double n) {
  return x.lo * fma(w.step, sum_w, w.lo * n);
}

/// Error pass with `shared` weights (4.4): A = fl64(s_g * G), E = fl64(fl64(lo_g * G) * [w_G]);
/// dx = fl32(fma(A, [q_g w_G], E)).
BITCYCLE_HD double shared_scale(const Affine& g, double grid) { return g.step * grid; }
BITCYCLE_HD double shared_offset(const Affine& g, double grid, double sum_w) { return (g.lo * grid) * sum_w; }
BITCYCLE_HD float rescale_shared(double a, double acc, double e) { return static_cast<float>(fma(a, acc, e)); }

/// Weight gradient (4.5): dw = fl32(fma(A, [q_g q_x], fma(B, [q_g], fma(C, [q_x], D)))), n = number of
/// (sample, position) pairs for which the tap exists.
struct WeightGradientScale {
  double a;      // fl64(s_g * s_x)
  double b;      // fl64(s_g * lo_x)
  double c;      // fl64(lo_g * s_x)
  double lo_lo;  // fl64(lo_g * lo_x); D = fl64(lo_lo * n)
};
BITCYCLE_HD WeightGradientScale weight_gradient_scale(const Affine& g, const Affine& x) {
  return {g.step * x.step, g.step * x.lo, g.lo * x.step, g.lo * x.lo};
}
/// The terms that do not depend on g's channel.
BITCYCLE_HD double weight_gradient_rest(const WeightGradientScale& s, double sum_x, double n) {
  return fma(s.c, sum_x, s.lo_lo * n);
}
BITCYCLE_HD float rescale_weight_gradient(const WeightGradientScale& s, double acc, double sum_g, double sum_x,
                                          double n) {
  return static_cast<float>(fma(s.a, acc, fma(s.b, sum_g, weight_gradient_rest(s, sum_x, n))));
}

}  // namespace bitcycle
