// SPDX-License-Identifier: Apache-2.0
// Codes of the weights for both products (docs/numerics.md, 2.1 and 5) and their packed form. Widths up to 16 run on
// vectors; wider ones and float32 by the reference's loops, which are short beside their products.
#include <algorithm>
#include <cmath>

#include "sim/cpu/cpu_library.h"
#include "sim/quantisers/signed_grid.h"
#include "sim/reference/operations.h"

namespace bitcycle::cpu {
namespace {

void quantise_forward(const KernelTable& kernels, const QuantiseWeights& args, QuantisedWeights& weights) {
  weights.width = args.width;
  weights.error_weights = args.error_weights;
  weights.error_grid_bits = args.error_grid_bits;
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group();
  auto* affine = weights.affine.as<Affine>();
  auto* magnitude = weights.magnitude.as<float>();
  std::int32_t largest = 0;
  for (std::int64_t o = 0; o < s.o; ++o) {
    const float* master = args.master + o * size;
    KeyRange keys;
    kernels.range(master, size, &keys.lo, &keys.hi);
    const Range range = canonical_range(keys);
    magnitude[o] = magnitude_of(range);
    largest = std::max(largest, magnitude_key(magnitude[o]));
    affine[o] = affine_of(range, args.width, args.min_scale);
    QuantiseRow row = quantise_row(affine[o]);
    row.x = master;
    row.count = size;
    row.codes32 = weights.codes.as<std::uint32_t>() + o * size;
    kernels.quantise(row);
  }
  magnitude[s.o] = float_of_bits(largest);
}

/// 5.1. Values grow with their codes, so that each group's largest magnitude is that of an extreme code.
void put_on_shared_grid(const KernelTable& kernels, QuantisedWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group();
  const auto* affine = weights.affine.as<Affine>();
  const auto* codes = weights.codes.as<std::uint32_t>();
  double largest = 0.0;
  for (std::int64_t o = 0; o < s.o && size > 0; ++o) {
    const auto [least, most] = std::minmax_element(codes + o * size, codes + (o + 1) * size);
    largest = std::max(largest, std::fabs(dequantise(*least, affine[o])));
    largest = std::max(largest, std::fabs(dequantise(*most, affine[o])));
  }
  Affine grid;
  grid.step = error_grid_step(largest, weights.error_grid_bits);
  grid.max_code = static_cast<std::uint32_t>(error_grid_max(weights.error_grid_bits));
  *weights.error_affine.as<Affine>() = grid;
  auto* out = weights.error_codes.as<std::int32_t>();
  if (!(grid.step > 0.0)) {
    std::fill_n(out, s.weight_size(), 0);
    return;
  }
  for (std::int64_t o = 0; o < s.o; ++o) {
    kernels.grid_codes({codes + o * size, size, affine[o].lo, affine[o].step, grid.step, out + o * size});
  }
}

/// 5.2, groups of a convolution one after the other: the columns of each are its input channels.
void requantise(const KernelTable& kernels, const QuantiseWeights& args, CpuWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t channels = s.c_per_group(), lanes = lanes_for(channels), rows = s.o_per_group() * s.kh * s.kw;
  std::int32_t* lo_key = weights.column_keys.need(2 * lanes);
  float* lo = weights.columns.zeroed(2 * lanes);
  for (std::int64_t group = 0; group < s.groups; ++group) {
    const std::int64_t begin = group * rows * channels;
    const float* master = args.master + begin;
    std::fill_n(lo_key, lanes, INT32_MAX);
    std::fill_n(lo_key + lanes, lanes, INT32_MIN);
    kernels.column_range({master, rows, channels, lo_key, lo_key + lanes});
    Affine* affine = weights.error_affine.as<Affine>() + group * channels;
    for (std::int64_t i = 0; i < channels; ++i) {
      affine[i] = affine_of(canonical_range({lo_key[i], lo_key[lanes + i]}), args.width, args.min_scale);
      lo[i] = static_cast<float>(affine[i].lo);
      lo[lanes + i] = static_cast<float>(affine[i].step);
    }
    kernels.quantise_columns({master, rows, channels, lo, lo + lanes, static_cast<float>(args.width.max_code()),
                              weights.error_codes.as<std::uint32_t>() + begin});
  }
}

}  // namespace

void CpuLibrary::quantise_weights(const QuantiseWeights& args, QuantisedWeights& base) {
  const auto timing = profile_.time("quantise weights");
  auto& weights = static_cast<CpuWeights&>(base);
  const ConvShape& s = base.shape;
  const std::int64_t taps = s.kh * s.kw;
  const bool shared = args.error_weights == ErrorWeights::kShared;
  const bool vectors = args.width.is_integer() && args.width.is_narrow();
  const int own_limbs = byte_limbs(args.width);
  const bool packed = own_limbs == 1 || (own_limbs == 2 && kernels_.group == 4);
  const auto forward_codes = [&] {
    if (vectors) {
      quantise_forward(kernels_, args, base);
    } else {
      reference::quantise_forward_weights(args, base);
    }
  };
  const auto error_codes = [&] {
    if (!args.for_error_pass) return;
    if (!vectors) {
      reference::quantise_error_weights(args, base);
    } else if (shared) {
      put_on_shared_grid(kernels_, base);
    } else {
      requantise(kernels_, args, weights);
    }
  };
  if (shared) forward_codes();  // the error codes are made from the forward codes
  workers_.each(2, [&](int, std::int64_t which) {
    if (which == 0) {
      if (!shared) forward_codes();
      if (own_limbs == 1 && weights.depthwise) weights.depthwise_forward.pack(1, true, base.codes.as<std::int32_t>());
      if (!packed || !weights.fast_forward) return;
      weights.forward.pack(kernels_, own_limbs, 0, base.codes.as<std::int32_t>(), taps * s.c, s.c, 1);
    } else {
      error_codes();
      if (!packed || !args.for_error_pass) return;
      if (weights.depthwise && own_limbs == 1) {
        const int words = shared && args.error_grid_bits > 16 ? 2 : 1;
        weights.depthwise_error.pack(words, !shared, base.error_codes.as<std::int32_t>());
      }
      if (!weights.fast_error) return;
      const int limbs = shared ? args.error_grid_bits / 8 : own_limbs;
      const std::int32_t offset = shared ? std::int32_t{1} << (args.error_grid_bits - 1) : 0;
      weights.error.pack(kernels_, limbs, offset, base.error_codes.as<std::int32_t>(), 1, s.c, taps * s.c);
    }
  });
  reference::note_step_bound(args, base);
}

}  // namespace bitcycle::cpu
