// SPDX-License-Identifier: Apache-2.0
// The error pass in both variants, and in float32 (docs/numerics.md, 4.3, 4.4, 5, 6.2), with its bound V (7.6).
#include <algorithm>
#include <cmath>

#include "sim/number/ordered_key.h"
#include "sim/ops/bounds.h"
#include "sim/ops/rescale.h"
#include "sim/reference/integer_products.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

template <typename Visit>
void for_each_input(const ConvShape& s, Visit visit) {
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t h = 0; h < s.h; ++h) {
      for (std::int64_t w = 0; w < s.w; ++w) {
        for (std::int64_t i = 0; i < s.c; ++i) visit(n, h, w, i);
      }
    }
  }
}

template <typename Sum>
void requantised_error(const ConvBackward& args, std::vector<float>& dx) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> g = load_codes(args.g, s.output_size());
  const auto* codes = args.weights->error_codes.as<std::uint32_t>();
  for_each_input(s, [&](std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t i) {
    const Affine& affine_e = args.weights->error_affine.as<Affine>()[i];
    const TapSums<Sum> sums = error_sums<Sum>(s, g.data(), codes, n, h, w, i);
    const ProductScale scale = product_scale(*args.g.affine, affine_e);
    const double e = product_offset(*args.g.affine, affine_e, to_binary64(sums.weights), to_binary64(sums.terms));
    dx[static_cast<std::size_t>(input_index(s, n, h, w, i))] =
        rescale(scale.a, to_binary64(sums.product), scale.b, to_binary64(sums.streamed), e);
  });
}

template <typename Sum>
void shared_error(const ConvBackward& args, std::vector<float>& dx) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> g = load_codes(args.g, s.output_size());
  const auto* codes = args.weights->error_codes.as<std::int32_t>();
  const double grid = args.weights->error_affine.as<Affine>()->step;
  const double a = shared_scale(*args.g.affine, grid);
  for_each_input(s, [&](std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t i) {
    const TapSums<Sum> sums = error_sums<Sum>(s, g.data(), codes, n, h, w, i);
    const double e = shared_offset(*args.g.affine, grid, to_binary64(sums.weights));
    dx[static_cast<std::size_t>(input_index(s, n, h, w, i))] = rescale_shared(a, to_binary64(sums.product), e);
  });
}

/// One fma sum an input from +0, in the order kh, kw, output channel.
void float_error(const ConvBackward& args, std::vector<float>& dx) {
  const ConvShape& s = args.shape;
  const std::vector<float> g = load_values(args.g, s.output_size());
  const std::vector<float> weights = error_weight_values(*args.weights);
  const std::int64_t weights_of_output = s.kh * s.kw * s.c_per_group();
  for_each_input(s, [&](std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t i) {
    float sum = 0.0F;
    const std::int64_t first_output = i / s.c_per_group() * s.o_per_group();
    for_each_tap_of_input(s, h, w, [&](std::int64_t kh, std::int64_t kw, std::int64_t oh, std::int64_t ow) {
      const float* vg = g.data() + output_index(s, n, oh, ow, first_output);
      const float* vw = weights.data() + weight_index(s, first_output, kh, kw, i % s.c_per_group());
      for (std::int64_t o = 0; o < s.o_per_group(); ++o) sum = std::fma(vg[o], vw[o * weights_of_output], sum);
    });
    dx[static_cast<std::size_t>(input_index(s, n, h, w, i))] = sum;
  });
}

/// Largest magnitude of the weights that the error pass multiplies with.
double error_weight_bound(const QuantisedWeights& weights) {
  if (weights.width.is_float32()) return static_cast<double>(weights.magnitude.as<float>()[weights.shape.o]);
  const auto* affine = weights.error_affine.as<Affine>();
  if (weights.error_weights == ErrorWeights::kShared) return shared_weight_bound(affine->step, weights.error_grid_bits);
  double bound = 0.0;
  for (std::int64_t i = 0; i < weights.shape.c; ++i) bound = std::max(bound, code_bound(affine[i]));
  return bound;
}

}  // namespace

std::vector<float> error_weight_values(const QuantisedWeights& weights) {
  if (weights.width.is_float32()) return forward_weight_values(weights);
  const ConvShape& s = weights.shape;
  const auto* affine = weights.error_affine.as<Affine>();
  std::vector<float> values;
  for (std::int64_t e = 0; e < s.weight_size(); ++e) {
    if (weights.error_weights == ErrorWeights::kShared) {
      const auto code = static_cast<double>(weights.error_codes.as<std::int32_t>()[e]);
      values.push_back(static_cast<float>(std::fma(affine->step, code, affine->lo)));
    } else {
      const std::int64_t group = e / (s.kh * s.kw * s.c_per_group()) / s.o_per_group();
      const Affine& of_channel = affine[group * s.c_per_group() + e % s.c_per_group()];
      values.push_back(static_cast<float>(dequantise(weights.error_codes.as<std::uint32_t>()[e], of_channel)));
    }
  }
  return values;
}

ErrorPass conv_error(const ConvBackward& args) {
  const ConvShape& s = args.shape;
  const QuantisedWeights& weights = *args.weights;
  ErrorPass result;
  result.dx.resize(static_cast<std::size_t>(s.input_size()));
  const bool integers = args.g.width.is_integer() && weights.width.is_integer();
  const bool shared = weights.error_weights == ErrorWeights::kShared;
  if (!integers) {
    float_error(args, result.dx);
  } else {
    const BitWidth weight_width = shared ? BitWidth::integer(weights.error_grid_bits) : weights.width;
    const bool wide = accumulator_for(args.g.width, weight_width, s.error_depth()) == Accumulator::kInt128;
    if (shared && wide) shared_error<Int128>(args, result.dx);
    if (shared && !wide) shared_error<std::int64_t>(args, result.dx);
    if (!shared && wide) requantised_error<Int128>(args, result.dx);
    if (!shared && !wide) requantised_error<std::int64_t>(args, result.dx);
  }
  const Range range = args.g_range == nullptr ? Range{} : *args.g_range;
  result.bound = product_bound(integers, s.error_depth(), operand_bound(args.g.width, *args.g.affine, range),
                               error_weight_bound(weights));
  return result;
}

}  // namespace bitcycle::reference
