// SPDX-License-Identifier: Apache-2.0
// Forward convolution: quantise the input, multiply, rescale, and the statistics of y (docs/numerics.md, 4.2, 6.2,
// 7.2).
#include <cmath>

#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/bounds.h"
#include "sim/ops/rescale.h"
#include "sim/reference/integer_products.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

template <typename Visit>
void for_each_output(const ConvShape& s, Visit visit) {
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
      for (std::int64_t ow = 0; ow < s.out_w(); ++ow) {
        for (std::int64_t o = 0; o < s.o; ++o) visit(n, oh, ow, o);
      }
    }
  }
}

template <typename Sum>
void integer_forward(const ConvForward& args) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> x = load_codes(args.codes, s.input_size());
  const auto* w = args.weights->codes.as<std::uint32_t>();
  const Affine& affine_x = *args.codes.affine;
  for_each_output(s, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t o) {
    const Affine& affine_w = args.weights->affine.as<Affine>()[o];
    const TapSums<Sum> sums = forward_sums<Sum>(s, x.data(), w, n, oh, ow, o);
    const ProductScale scale = product_scale(affine_x, affine_w);
    const double e = product_offset(affine_x, affine_w, to_binary64(sums.weights), to_binary64(sums.terms));
    args.y[output_index(s, n, oh, ow, o)] =
        rescale(scale.a, to_binary64(sums.product), scale.b, to_binary64(sums.streamed), e);
  });
}

/// One fma sum an output from +0, in the order kh, kw, input channel.
void float_forward(const ConvForward& args) {
  const ConvShape& s = args.shape;
  const std::vector<float> x = load_values(args.codes, s.input_size());
  const std::vector<float> w = forward_weight_values(*args.weights);
  for_each_output(s, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t o) {
    float sum = 0.0F;
    const std::int64_t first_channel = o / s.o_per_group() * s.c_per_group();
    for_each_tap_of_output(s, oh, ow, [&](std::int64_t kh, std::int64_t kw, std::int64_t h, std::int64_t ww) {
      const float* vx = x.data() + input_index(s, n, h, ww, first_channel);
      const float* vw = w.data() + weight_index(s, o, kh, kw, 0);
      for (std::int64_t i = 0; i < s.c_per_group(); ++i) sum = std::fma(vx[i], vw[i], sum);
    });
    args.y[output_index(s, n, oh, ow, o)] = sum;
  });
}

/// 7.2: q = rint(y * 2^e), sums of q and q^2 and the extremes, a channel.
void gather_statistics(const ConvForward& args, bool integers) {
  const ConvShape& s = args.shape;
  const std::int64_t positions = s.n * s.out_h() * s.out_w();
  const Range range = args.input_range == nullptr ? Range{} : *args.input_range;
  const double x_bound = operand_bound(args.codes.width, *args.codes.affine, range);
  for (std::int64_t o = 0; o < s.o; ++o) {
    const double w_bound =
        weight_bound(args.weights->width, args.weights->affine.as<Affine>()[o], args.weights->magnitude.as<float>()[o]);
    const double beta = product_bound(integers, s.forward_depth(), x_bound, w_bound);
    ChannelStatistics statistics;
    statistics.exponent = moment_exponent(beta, static_cast<std::uint64_t>(positions));
    const float to_grid = power_of_two(statistics.exponent);
    KeyRange keys;
    for (std::int64_t p = 0; p < positions; ++p) {
      const float y = args.y[p * s.o + o];
      const std::int64_t q = on_grid(y, to_grid);
      add_wrapping(statistics.s1, q);
      statistics.s2 += static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q);
      include(keys, y);
    }
    const Range extremes = range_of_keys(keys);
    statistics.lo = extremes.lo;
    statistics.hi = extremes.hi;
    args.statistics[o] = statistics;
  }
}

}  // namespace

std::vector<float> forward_weight_values(const QuantisedWeights& weights) {
  const std::int64_t size = weights.shape.weight_size();
  if (weights.width.is_float32()) {
    const auto* values = weights.codes.as<float>();
    return {values, values + size};
  }
  std::vector<float> values;
  const auto* codes = weights.codes.as<std::uint32_t>();
  const auto* affine = weights.affine.as<Affine>();
  for (std::int64_t e = 0; e < size; ++e) {
    values.push_back(static_cast<float>(dequantise(codes[e], affine[e / (size / weights.shape.o)])));
  }
  return values;
}

void conv_forward(const ConvForward& args) {
  const ConvShape& s = args.shape;
  quantise_input(args.input, s.input_size(), s.c, args.codes);
  const bool integers = args.codes.width.is_integer() && args.weights->width.is_integer();
  if (!integers) {
    float_forward(args);
  } else if (accumulator_for(args.codes.width, args.weights->width, s.forward_depth()) == Accumulator::kInt128) {
    integer_forward<Int128>(args);
  } else {
    integer_forward<std::int64_t>(args);
  }
  if (args.statistics != nullptr) gather_statistics(args, integers);
}

}  // namespace bitcycle::reference
