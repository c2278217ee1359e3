// SPDX-License-Identifier: Apache-2.0
// Which taps exist at a position: the walks that the reference convolutions are written with. Taps outside the input
// are not visited, so that they contribute nothing (docs/numerics.md, 4.1).
#pragma once

#include <cstdint>

#include "sim/ops/conv_shape.h"

namespace bitcycle::reference {

/// visit(kh, kw, h, w) for the taps of output position (oh, ow), in the order kh, kw.
template <typename Visit>
void for_each_tap_of_output(const ConvShape& s, std::int64_t oh, std::int64_t ow, Visit visit) {
  for (std::int64_t kh = 0; kh < s.kh; ++kh) {
    const std::int64_t h = oh * s.stride - s.padding + kh;
    if (h < 0 || h >= s.h) continue;
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      const std::int64_t w = ow * s.stride - s.padding + kw;
      if (w < 0 || w >= s.w) continue;
      visit(kh, kw, h, w);
    }
  }
}

/// visit(kh, kw, oh, ow) for the taps through which input position (h, w) reaches an output, in the order kh, kw.
template <typename Visit>
void for_each_tap_of_input(const ConvShape& s, std::int64_t h, std::int64_t w, Visit visit) {
  for (std::int64_t kh = 0; kh < s.kh; ++kh) {
    const std::int64_t y = h + s.padding - kh;
    if (y < 0 || y % s.stride != 0 || y / s.stride >= s.out_h()) continue;
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      const std::int64_t x = w + s.padding - kw;
      if (x < 0 || x % s.stride != 0 || x / s.stride >= s.out_w()) continue;
      visit(kh, kw, y / s.stride, x / s.stride);
    }
  }
}

// Indices: activations (n, h, w, c), outputs (n, oh, ow, o), weights (o, kh, kw, c / groups).
inline std::int64_t input_index(const ConvShape& s, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t i) {
  return ((n * s.h + h) * s.w + w) * s.c + i;
}
inline std::int64_t output_index(const ConvShape& s, std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t o) {
  return ((n * s.out_h() + oh) * s.out_w() + ow) * s.o + o;
}
inline std::int64_t weight_index(const ConvShape& s, std::int64_t o, std::int64_t kh, std::int64_t kw,
                                 std::int64_t i_in_group) {
  return ((o * s.kh + kh) * s.kw + kw) * s.c_per_group() + i_in_group;
}

}  // namespace bitcycle::reference
