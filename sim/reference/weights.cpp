// SPDX-License-Identifier: Apache-2.0
// Codes of the weights for the forward pass, and for the error pass in both variants (docs/numerics.md, 2.1 and 5).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "sim/number/ordered_key.h"
#include "sim/quantisers/signed_grid.h"
#include "sim/reference/operations.h"
#include "sim/reference/taps.h"

namespace bitcycle::reference {
namespace {

/// One group an output channel: range, affine, codes, magnitudes.
void quantise_forward(const QuantiseWeights& args, QuantisedWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group();
  auto* affine = weights.affine.as<Affine>();
  auto* magnitude = weights.magnitude.as<float>();
  std::int32_t largest = 0;
  for (std::int64_t o = 0; o < s.o; ++o) {
    const float* master = args.master + o * size;
    KeyRange keys;
    for (std::int64_t e = 0; e < size; ++e) include(keys, master[e]);
    const Range range = range_of_keys(keys);
    magnitude[o] = magnitude_of(range);
    largest = std::max(largest, magnitude_key(magnitude[o]));
    affine[o] = affine_of(range, args.width, args.min_scale);
    if (args.width.is_float32()) {
      std::copy(master, master + size, weights.codes.as<float>() + o * size);
    } else {
      std::uint32_t* codes = weights.codes.as<std::uint32_t>() + o * size;
      for (std::int64_t e = 0; e < size; ++e) codes[e] = quantise(master[e], affine[o], args.width, 0.0F);
    }
  }
  magnitude[s.o] = float_of_bits(largest);
}

/// 5.1: the forward codes' values on one signed grid.
void put_on_shared_grid(QuantisedWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group();
  const auto* codes = weights.codes.as<std::uint32_t>();
  const auto* affine = weights.affine.as<Affine>();
  double largest = 0.0;
  for (std::int64_t e = 0; e < s.weight_size(); ++e) {
    largest = std::max(largest, std::fabs(dequantise(codes[e], affine[e / size])));
  }
  Affine grid;
  grid.step = error_grid_step(largest, weights.error_grid_bits);
  grid.max_code = static_cast<std::uint32_t>(error_grid_max(weights.error_grid_bits));
  *weights.error_affine.as<Affine>() = grid;
  auto* out = weights.error_codes.as<std::int32_t>();
  for (std::int64_t e = 0; e < s.weight_size(); ++e) {
    out[e] = error_grid_code(dequantise(codes[e], affine[e / size]), grid.step);
  }
}

/// 5.2: the master weights again, one group an input channel.
void requantise(const QuantiseWeights& args, QuantisedWeights& weights) {
  const ConvShape& s = weights.shape;
  auto* affine = weights.error_affine.as<Affine>();
  auto* codes = weights.error_codes.as<std::uint32_t>();
  for (std::int64_t i = 0; i < s.c; ++i) {
    const std::int64_t first_output = i / s.c_per_group() * s.o_per_group();
    const auto for_each_weight = [&](auto visit) {
      for (std::int64_t o = first_output; o < first_output + s.o_per_group(); ++o) {
        for (std::int64_t kh = 0; kh < s.kh; ++kh) {
          for (std::int64_t kw = 0; kw < s.kw; ++kw) visit(weight_index(s, o, kh, kw, i % s.c_per_group()));
        }
      }
    };
    KeyRange keys;
    for_each_weight([&](std::int64_t e) { include(keys, args.master[e]); });
    affine[i] = affine_of(range_of_keys(keys), args.width, args.min_scale);
    for_each_weight([&](std::int64_t e) { codes[e] = quantise(args.master[e], affine[i], args.width, 0.0F); });
  }
}

}  // namespace

void quantise_forward_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  weights.width = args.width;
  weights.error_weights = args.error_weights;
  weights.error_grid_bits = args.error_grid_bits;
  quantise_forward(args, weights);
}

void quantise_error_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  if (!args.for_error_pass || args.width.is_float32()) return;
  if (args.error_weights == ErrorWeights::kShared) {
    put_on_shared_grid(weights);
  } else {
    requantise(args, weights);
  }
}

void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  quantise_forward_weights(args, weights);
  quantise_error_weights(args, weights);
}

void note_step_bound(const QuantiseWeights& args, const QuantisedWeights& weights) {
  if (args.step_bound == nullptr) return;
  const auto any = [](const Affine* affine, std::int64_t groups) {
    return std::any_of(affine, affine + groups, [](const Affine& a) { return a.step_bound != 0; }) ? 1U : 0U;
  };
  const bool own = args.for_error_pass && args.width.is_integer() && args.error_weights == ErrorWeights::kRequantised;
  args.step_bound[0] = any(weights.affine.as<Affine>(), weights.shape.o);
  args.step_bound[1] = own ? any(weights.error_affine.as<Affine>(), weights.shape.c) : 0U;
}

}  // namespace bitcycle::reference
