// SPDX-License-Identifier: Apache-2.0
// Codes of the weights for both products (docs/numerics.md, 2.1 and 5) and their packed form. Widths up to 16 run on
// vectors; wider ones and float32 by the reference's loops, which are short beside their products.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "sim/cpu/cpu_library.h"
#include "sim/quantisers/signed_grid.h"
#include "sim/reference/operations.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kWeightsAtOnce = 32768;  // of one task

/// Rows of `size` weights that one task works on.
std::int64_t rows_of_task(std::int64_t size) {
  return std::max<std::int64_t>(1, kWeightsAtOnce / std::max<std::int64_t>(1, size));
}

void quantise_forward(const KernelTable& kernels, Workers& workers, const QuantiseWeights& args, CpuWeights& weights) {
  weights.width = args.width;
  weights.error_weights = args.error_weights;
  weights.error_grid_bits = args.error_grid_bits;
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group();
  const bool bytes = weights.forward_codes().narrow() != nullptr;
  auto* affine = weights.affine.as<Affine>();
  auto* magnitude = weights.magnitude.as<float>();
  workers.chunks(s.o, rows_of_task(size), [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const float* master = args.master + o * size;
      KeyRange keys;
      kernels.range(master, size, &keys.lo, &keys.hi);
      const Range range = canonical_range(keys);
      magnitude[o] = magnitude_of(range);
      affine[o] = affine_of(range, args.width, args.min_scale);
      QuantiseRow row = quantise_row(affine[o]);
      row.x = master;
      row.count = size;
      if (bytes) {
        row.codes8 = weights.codes.as<std::uint8_t>() + o * size;
      } else {
        row.codes32 = weights.codes.as<std::uint32_t>() + o * size;
      }
      kernels.quantise(row);
    }
  });
  std::int32_t largest = 0;
  for (std::int64_t o = 0; o < s.o; ++o) largest = std::max(largest, magnitude_key(magnitude[o]));
  magnitude[s.o] = float_of_bits(largest);
}

/// Largest magnitude of a group's values: they grow with their codes, so that it is that of an extreme code.
template <typename Code>
double largest_value(const Code* codes, std::int64_t size, const Affine& affine) {
  std::uint32_t least = codes[0], most = codes[0];
  for (std::int64_t e = 1; e < size; ++e) {
    least = std::min<std::uint32_t>(least, codes[e]);
    most = std::max<std::uint32_t>(most, codes[e]);
  }
  return std::max(std::fabs(dequantise(least, affine)), std::fabs(dequantise(most, affine)));
}

/// 5.1.
void put_on_shared_grid(const KernelTable& kernels, Workers& workers, CpuWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t size = s.kh * s.kw * s.c_per_group(), at_once = rows_of_task(size);
  const auto* affine = weights.affine.as<Affine>();
  const WeightCodes codes = weights.forward_codes();
  const auto* wide = weights.codes.as<std::uint32_t>();
  double* largest = weights.largest.zeroed(s.o);
  workers.chunks(size > 0 ? s.o : 0, at_once, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      largest[o] = codes.narrow() != nullptr ? largest_value(codes.narrow() + o * size, size, affine[o])
                                             : largest_value(wide + o * size, size, affine[o]);
    }
  });
  double of_all = 0.0;
  for (std::int64_t o = 0; o < s.o; ++o) of_all = std::max(of_all, largest[o]);
  Affine grid;
  grid.step = error_grid_step(of_all, weights.error_grid_bits);
  grid.max_code = static_cast<std::uint32_t>(error_grid_max(weights.error_grid_bits));
  *weights.error_affine.as<Affine>() = grid;
  auto* out = weights.error_codes.as<std::int32_t>();
  if (!(grid.step > 0.0)) {
    std::fill_n(out, s.weight_size(), 0);
    return;
  }
  workers.chunks(s.o, at_once, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      GridRow row;
      if (codes.narrow() != nullptr) {
        row.codes8 = codes.narrow() + o * size;
      } else {
        row.codes32 = wide + o * size;
      }
      row.count = size;
      row.lo = affine[o].lo;
      row.step = affine[o].step;
      row.grid = grid.step;
      row.out = out + o * size;
      kernels.grid_codes(row);
    }
  });
}

/// 5.2, groups of a convolution one after the other: the columns of each are its input channels.
void requantise(const KernelTable& kernels, Workers& workers, const QuantiseWeights& args, CpuWeights& weights) {
  const ConvShape& s = weights.shape;
  const std::int64_t channels = s.c_per_group(), lanes = lanes_for(channels), rows = s.o_per_group() * s.kh * s.kw;
  const std::int64_t at_once = rows_of_task(channels), sets = workers.threads();
  const bool bytes = weights.codes_of_error_pass().narrow() != nullptr;
  std::int32_t* keys = weights.column_keys.need(sets * 2 * lanes);
  float* lo = weights.columns.zeroed(2 * lanes);
  for (std::int64_t group = 0; group < s.groups; ++group) {
    const std::int64_t begin = group * rows * channels;
    const float* master = args.master + begin;
    for (std::int64_t set = 0; set < sets; ++set) {
      std::fill_n(keys + set * 2 * lanes, lanes, INT32_MAX);
      std::fill_n(keys + (set * 2 + 1) * lanes, lanes, INT32_MIN);
    }
    workers.chunks(rows, at_once, [&](int thread, std::int64_t first, std::int64_t end) {
      std::int32_t* own = keys + thread * 2 * lanes;
      kernels.column_range({master + first * channels, end - first, channels, own, own + lanes});
    });
    Affine* affine = weights.error_affine.as<Affine>() + group * channels;
    for (std::int64_t i = 0; i < channels; ++i) {
      KeyRange all;
      for (std::int64_t set = 0; set < sets; ++set) {
        include(all, KeyRange{keys[set * 2 * lanes + i], keys[(set * 2 + 1) * lanes + i]});
      }
      affine[i] = affine_of(canonical_range(all), args.width, args.min_scale);
      lo[i] = static_cast<float>(affine[i].lo);
      lo[lanes + i] = static_cast<float>(affine[i].step);
    }
    workers.chunks(rows, at_once, [&](int, std::int64_t first, std::int64_t end) {
      QuantiseColumns table;
      table.x = master + first * channels;
      table.rows = end - first;
      table.channels = channels;
      table.lo = lo;
      table.step = lo + lanes;
      table.max_code = static_cast<float>(args.width.max_code());
      if (bytes) {
        table.codes8 = weights.error_codes.as<std::uint8_t>() + begin + first * channels;
      } else {
        table.codes32 = weights.error_codes.as<std::uint32_t>() + begin + first * channels;
      }
      kernels.quantise_columns(table);
    });
  }
}

/// The codes of a layer of several groups in 32 bits.
const std::int32_t* widened(const WeightCodes& codes, std::int64_t size, Scratch<std::int32_t>& memory) {
  if (codes.narrow() == nullptr) return codes.wide();
  std::int32_t* wide = memory.need(size);
  for (std::int64_t e = 0; e < size; ++e) wide[e] = codes.narrow()[e];
  return wide;
}

}  // namespace

void CpuLibrary::quantise_weights(const QuantiseWeights& args, QuantisedWeights& base) {
  const auto timing = profile_.time("quantise weights");
  auto& weights = static_cast<CpuWeights&>(base);
  const ConvShape& s = base.shape;
  const std::int64_t taps = s.kh * s.kw, size = s.weight_size();
  const bool shared = args.error_weights == ErrorWeights::kShared;
  const bool vectors = args.width.is_integer() && args.width.is_narrow();
  const int own_limbs = byte_limbs(args.width);
  const bool packed = own_limbs == 1 || (own_limbs == 2 && kernels_.group == 4);
  // Another container only where the width leaves the one before: a schedule stays within one, or nearly so.
  const auto resize = [&](Buffer& codes, bool bytes) {
    const std::size_t wanted = static_cast<std::size_t>(size) * (bytes ? 1 : sizeof(std::uint32_t));
    if (codes.bytes() == wanted) return;
    codes = Buffer{};
    codes = Buffer(*this, wanted);
  };
  resize(weights.codes, own_limbs == 1);
  if (args.for_error_pass && args.width.is_integer()) resize(weights.error_codes, own_limbs == 1 && !shared);

  if (vectors) {
    quantise_forward(kernels_, workers_, args, weights);
  } else {
    reference::quantise_forward_weights(args, base);
  }
  if (args.for_error_pass && !vectors) {
    reference::quantise_error_weights(args, base);
  } else if (args.for_error_pass && shared) {
    put_on_shared_grid(kernels_, workers_, weights);
  } else if (args.for_error_pass) {
    requantise(kernels_, workers_, args, weights);
  }

  const WeightCodes forward = weights.forward_codes();
  // A word takes codes of 15 bits; wider ones are a byte and a word.
  const int own_words = args.width.is_integer() && args.width.bits() <= 15 ? 1 : 2;
  if (own_limbs != 0 && weights.depthwise) {
    weights.depthwise_forward.pack(own_words, own_limbs == 1, true, widened(forward, size, weights.wide_codes));
  }
  const std::int64_t group_size = s.o_per_group() * taps * s.c_per_group();
  if (packed && !weights.groups.forward.empty()) {
    const std::int32_t* codes = widened(forward, size, weights.wide_codes);
    for (PackedProduct& product : weights.groups.forward) {
      product.pack(kernels_, workers_, own_limbs, 0, codes, taps * s.c_per_group(), s.c_per_group(), 1);
      codes += group_size;
    }
  }
  if (packed && weights.fast_forward && forward.narrow() != nullptr) {
    weights.forward.pack(kernels_, workers_, own_limbs, 0, forward.narrow(), taps * s.c, s.c, 1);
  } else if (packed && weights.fast_forward) {
    weights.forward.pack(kernels_, workers_, own_limbs, 0, forward.wide(), taps * s.c, s.c, 1);
  }
  const WeightCodes error = weights.codes_of_error_pass();
  if (own_limbs != 0 && args.for_error_pass && weights.depthwise) {
    const int words = !shared ? own_words : (args.error_grid_bits > 16 ? 2 : 1);
    weights.depthwise_error.pack(words, own_limbs == 1 && !shared, !shared, widened(error, size, weights.wide_codes));
  }
  const int error_limbs = shared ? args.error_grid_bits / 8 : own_limbs;
  const std::int32_t error_offset = shared ? std::int32_t{1} << (args.error_grid_bits - 1) : 0;
  // Codes of one group.
  const auto pack_error = [&](PackedProduct& product, const std::int32_t* codes) {
    const std::int64_t channels = s.c_per_group(), outputs = s.o_per_group();
    if (shared && own_limbs == 1 && fit_words(kernels_, codes, outputs * taps, channels, weights.word_sums)) {
      product.pack_words(kernels_, workers_, codes, 1, channels, taps * channels);
    } else {
      product.pack(kernels_, workers_, error_limbs, error_offset, codes, 1, channels, taps * channels);
    }
  };
  if (packed && args.for_error_pass && !weights.groups.error.empty()) {
    const std::int32_t* codes = widened(error, size, weights.wide_codes);
    for (PackedProduct& product : weights.groups.error) {
      pack_error(product, codes);
      codes += group_size;
    }
  }
  if (packed && args.for_error_pass && weights.fast_error && error.narrow() != nullptr) {
    weights.error.pack(kernels_, workers_, own_limbs, 0, error.narrow(), 1, s.c, taps * s.c);
  } else if (packed && args.for_error_pass && weights.fast_error) {
    pack_error(weights.error, error.wide());
  }
  reference::note_step_bound(args, base);
}

std::unique_ptr<QuantisedWeights> CpuLibrary::with_wide_codes(const CpuWeights& weights) {
  auto wide = std::make_unique<QuantisedWeights>(weights.shape);
  wide->width = weights.width;
  wide->error_weights = weights.error_weights;
  wide->error_grid_bits = weights.error_grid_bits;
  const auto copy = [&](const Buffer& from, Buffer& to) {
    to = Buffer(*this, from.bytes());
    if (from.bytes() > 0) std::memcpy(to.as<void>(), from.as<void>(), from.bytes());
  };
  const auto widen = [&](const Buffer& from, Buffer& to) {
    const std::int64_t size = weights.shape.weight_size();
    const WeightCodes codes(from, size);
    if (codes.narrow() == nullptr) return copy(from, to);
    to = Buffer(*this, static_cast<std::size_t>(size) * sizeof(std::uint32_t));
    std::copy_n(codes.narrow(), size, to.as<std::uint32_t>());
  };
  widen(weights.codes, wide->codes);
  widen(weights.error_codes, wide->error_codes);
  copy(weights.affine, wide->affine);
  copy(weights.error_affine, wide->error_affine);
  copy(weights.magnitude, wide->magnitude);
  return wide;
}

}  // namespace bitcycle::cpu
