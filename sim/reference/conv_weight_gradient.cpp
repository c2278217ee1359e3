// SPDX-License-Identifier: Apache-2.0
// The weight gradient, integer and float32 (docs/numerics.md, 4.5 and 6.2).
#include <cmath>

#include "sim/number/order_free_sum.h"
#include "sim/ops/bounds.h"
#include "sim/ops/rescale.h"
#include "sim/reference/integer_products.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

template <typename Visit>
void for_each_weight_tap(const ConvShape& s, Visit visit) {
  for (std::int64_t o = 0; o < s.o; ++o) {
    for (std::int64_t kh = 0; kh < s.kh; ++kh) {
      for (std::int64_t kw = 0; kw < s.kw; ++kw) visit(o, kh, kw);
    }
  }
}

template <typename Sum>
void integer_weight_gradient(const ConvBackward& args) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> x = load_codes(args.x, s.input_size());
  const std::vector<std::uint32_t> g = load_codes(args.g, s.output_size());
  const WeightGradientScale scale = weight_gradient_scale(*args.g.affine, *args.x.affine);
  for_each_weight_tap(s, [&](std::int64_t o, std::int64_t kh, std::int64_t kw) {
    const WeightGradientSums<Sum> sums = weight_gradient_sums<Sum>(s, x.data(), g.data(), o, kh, kw);
    for (std::size_t i = 0; i < sums.product.size(); ++i) {
      args.dw[weight_index(s, o, kh, kw, static_cast<std::int64_t>(i))] =
          rescale_weight_gradient(scale, to_binary64(sums.product[i]), to_binary64(sums.gradient),
                                  to_binary64(sums.streamed[i]), to_binary64(sums.terms));
    }
  });
}

/// One fma sum a sample over the positions for which the tap exists, ascending; samples summed on a grid.
void float_weight_gradient(const ConvBackward& args) {
  const ConvShape& s = args.shape;
  const std::vector<float> x = load_values(args.x, s.input_size());
  const std::vector<float> g = load_values(args.g, s.output_size());
  const Range x_range = args.x_range == nullptr ? Range{} : *args.x_range;
  const Range g_range = args.g_range == nullptr ? Range{} : *args.g_range;
  const double bound = product_bound(false, s.out_h() * s.out_w(), operand_bound(args.x.width, *args.x.affine, x_range),
                                     operand_bound(args.g.width, *args.g.affine, g_range));
  const int exponent = sum_exponent(bound, static_cast<std::uint64_t>(s.n));
  const float to_grid = power_of_two(exponent);
  for_each_weight_tap(s, [&](std::int64_t o, std::int64_t kh, std::int64_t kw) {
    const std::int64_t first_channel = o / s.o_per_group() * s.c_per_group();
    const TapRectangle valid = valid_outputs(s, kh, kw);
    for (std::int64_t i = 0; i < s.c_per_group(); ++i) {
      std::int64_t sum = 0;
      for (std::int64_t n = 0; n < s.n; ++n) {
        float sample = 0.0F;
        for (std::int64_t oh = valid.oh_begin; oh < valid.oh_end; ++oh) {
          for (std::int64_t ow = valid.ow_begin; ow < valid.ow_end; ++ow) {
            const std::int64_t h = oh * s.stride - s.padding + kh;
            const std::int64_t w = ow * s.stride - s.padding + kw;
            sample = std::fma(x[static_cast<std::size_t>(input_index(s, n, h, w, first_channel + i))],
                              g[static_cast<std::size_t>(output_index(s, n, oh, ow, o))], sample);
          }
        }
        add_wrapping(sum, on_grid(sample, to_grid));
      }
      args.dw[weight_index(s, o, kh, kw, i)] = static_cast<float>(sum_value(sum, exponent));
    }
  });
}

}  // namespace

void conv_weight_gradient(const ConvBackward& args) {
  if (args.x.width.is_float32() || args.g.width.is_float32()) {
    float_weight_gradient(args);
  } else if (accumulator_for(args.x.width, args.g.width, args.shape.weight_gradient_depth()) == Accumulator::kInt128) {
    integer_weight_gradient<Int128>(args);
  } else {
    integer_weight_gradient<std::int64_t>(args);
  }
}

}  // namespace bitcycle::reference
