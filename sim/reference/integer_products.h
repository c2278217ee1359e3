// SPDX-License-Identifier: Apache-2.0
// The three integer products as plain loops: sums of products of codes over the taps that exist, with the plain sums
// that rescaling needs beside them (docs/numerics.md, sections 3 and 4). Sum is int64 or 128 bits, chosen so that no
// sum can overflow.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/ops/accumulator.h"
#include "sim/reference/taps.h"

namespace bitcycle::reference {

/// At one output of a product: [q_x q_w], [q_x], [q_w] and the number of terms.
template <typename Sum>
struct TapSums {
  Sum product = 0;
  Sum streamed = 0;
  Sum weights = 0;
  std::int64_t terms = 0;
};

/// Forward, output (n, oh, ow, o): over the taps and the input channels of o's group.
template <typename Sum, typename Weight>
TapSums<Sum> forward_sums(const ConvShape& s, const std::uint32_t* x, const Weight* weights, std::int64_t n,
                          std::int64_t oh, std::int64_t ow, std::int64_t o) {
  TapSums<Sum> sums;
  const std::int64_t first_channel = o / s.o_per_group() * s.c_per_group();
  for_each_tap_of_output(s, oh, ow, [&](std::int64_t kh, std::int64_t kw, std::int64_t h, std::int64_t w) {
    const std::uint32_t* qx = x + input_index(s, n, h, w, first_channel);
    const Weight* qw = weights + weight_index(s, o, kh, kw, 0);
    for (std::int64_t i = 0; i < s.c_per_group(); ++i) {
      sums.product += static_cast<Sum>(qx[i]) * static_cast<Sum>(qw[i]);
      sums.streamed += static_cast<Sum>(qx[i]);
      sums.weights += static_cast<Sum>(qw[i]);
    }
    sums.terms += s.c_per_group();
  });
  return sums;
}

/// Error pass, input (n, h, w, i): over the taps and the output channels of i's group.
template <typename Sum, typename Weight>
TapSums<Sum> error_sums(const ConvShape& s, const std::uint32_t* g, const Weight* weights, std::int64_t n,
                        std::int64_t h, std::int64_t w, std::int64_t i) {
  TapSums<Sum> sums;
  const std::int64_t first_output = i / s.c_per_group() * s.o_per_group();
  const std::int64_t i_in_group = i % s.c_per_group();
  const std::int64_t weights_of_output = s.kh * s.kw * s.c_per_group();
  for_each_tap_of_input(s, h, w, [&](std::int64_t kh, std::int64_t kw, std::int64_t oh, std::int64_t ow) {
    const std::uint32_t* qg = g + output_index(s, n, oh, ow, first_output);
    const Weight* qe = weights + weight_index(s, first_output, kh, kw, i_in_group);
    for (std::int64_t o = 0; o < s.o_per_group(); ++o) {
      sums.product += static_cast<Sum>(qg[o]) * static_cast<Sum>(qe[o * weights_of_output]);
      sums.streamed += static_cast<Sum>(qg[o]);
      sums.weights += static_cast<Sum>(qe[o * weights_of_output]);
    }
    sums.terms += s.o_per_group();
  });
  return sums;
}

/// Weight gradient of tap (kh, kw) of output channel o, all input channels of its group: [q_g q_x] and [q_x] a channel,
/// [q_g] and the number of terms for all.
template <typename Sum>
struct WeightGradientSums {
  std::vector<Sum> product, streamed;
  Sum gradient = 0;
  std::int64_t terms = 0;
};

template <typename Sum>
WeightGradientSums<Sum> weight_gradient_sums(const ConvShape& s, const std::uint32_t* x, const std::uint32_t* g,
                                             std::int64_t o, std::int64_t kh, std::int64_t kw) {
  WeightGradientSums<Sum> sums;
  const std::int64_t channels = s.c_per_group();
  const std::int64_t first_channel = o / s.o_per_group() * channels;
  sums.product.resize(static_cast<std::size_t>(channels));
  sums.streamed.resize(static_cast<std::size_t>(channels));
  Sum* product = sums.product.data();
  Sum* streamed = sums.streamed.data();
  const TapRectangle valid = valid_outputs(s, kh, kw);
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t oh = valid.oh_begin; oh < valid.oh_end; ++oh) {
      for (std::int64_t ow = valid.ow_begin; ow < valid.ow_end; ++ow) {
        const auto qg = static_cast<Sum>(g[output_index(s, n, oh, ow, o)]);
        const std::uint32_t* qx =
            x + input_index(s, n, oh * s.stride - s.padding + kh, ow * s.stride - s.padding + kw, first_channel);
        for (std::int64_t i = 0; i < channels; ++i) {
          product[i] += qg * static_cast<Sum>(qx[i]);
          streamed[i] += static_cast<Sum>(qx[i]);
        }
        sums.gradient += qg;
        ++sums.terms;
      }
    }
  }
  return sums;
}

}  // namespace bitcycle::reference
