// SPDX-License-Identifier: Apache-2.0
// Codes of a product's streamed operand, activations or gradients. The first blocks make what the product's epilogue
// needs: scales, offsets by class of positions, exponents of sums (docs/numerics.md, 4, 7.2, 7.6). The other blocks do
// not wait for them.
#pragma once

#include "cuda/kernels/kernels_gradient_sum.h"
#include "cuda/kernels/kernels_weights.h"
#include "sim/number/philox.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// What the epilogue of a product multiplies with, one a channel: A and B of docs/numerics.md, 4.2 to 4.4.
struct alignas(16) ChannelScale {
  double a = 0.0, b = 0.0;
};

/// Sum of the weights' codes, and number of terms, over the taps of a class of positions.
BITCYCLE_DEVICE std::int64_t class_sum(const ClassMap& map, int position_class, const std::int64_t* tap_sums, int kh,
                                       int kw, int* taps) {
  const std::uint32_t rows = global_load(map.row_taps + position_class / map.columns);
  const std::uint32_t columns = global_load(map.column_taps + position_class % map.columns);
  std::int64_t sum = 0;
  *taps = 0;
  int y = 0, x = 0;
  for (int tap = 0; tap < kh * kw; ++tap) {  // without branches, so that the loads do not wait for each other
    const bool exists = ((rows >> y) & (columns >> x) & 1U) != 0;
    const std::int64_t of_tap = global_load(tap_sums + tap);
    sum += exists ? of_tap : 0;
    *taps += exists ? 1 : 0;
    if (++x == kw) {
      x = 0;
      ++y;
    }
  }
  return sum;
}

/// Scales, offsets and statistics of a forward product.
struct PrepareForward {
  LaunchWidth x_width, w_width;
  const Range* x_range;  // may be null
  const Affine* w;
  const float* magnitude;
  const std::int64_t* tap_sums;
  ClassMap map;
  Geometry s;
  bool tables;  // of the tensor-core product
  ChannelScale* scale;
  double* offset;                 // (classes, o)
  ChannelStatistics* statistics;  // may be null
  std::int32_t *lo, *hi;          // keys (o)
};
/// The affine of a convolution's input: as given, or made from its range.
BITCYCLE_DEVICE Affine input_affine(const Affine* given, const ActivationScale* scale) {
  if (scale == nullptr) return *given;
  return affine_of(*scale->now, LaunchWidth(scale->width, scale->width_record).get(), scale->min_scale);
}
/// The threads of the first blocks of a grid, which share the channels and classes of a product.
struct PrepareThreads {
  int first, step;
  BITCYCLE_DEVICE explicit PrepareThreads(int blocks)
      : first(block_index() * block_threads() + thread_index()), step(blocks * block_threads()) {}
};

/// By the first `blocks` blocks.
BITCYCLE_DEVICE_CALL void prepare_forward(const PrepareForward& a, const Affine* given,
                                          const ActivationScale* from_range, int blocks) {
  const PrepareThreads threads(blocks);
  const Affine x = input_affine(given, from_range);
  const BitWidth x_width = a.x_width.get(), w_width = a.w_width.get();
  const bool integers = x_width.is_integer() && w_width.is_integer();
  const std::int64_t depth = static_cast<std::int64_t>(a.s.taps()) * a.s.c_per_group();
  for (int o = threads.first; o < a.s.o; o += threads.step) {
    const Affine w = a.w[o];
    if (a.tables) {
      const ProductScale scale = product_scale(x, w);
      a.scale[o] = {scale.a, scale.b};
    }
    if (a.statistics == nullptr) continue;
    const Range range = a.x_range == nullptr ? Range{} : *a.x_range;
    const double beta =
        product_bound(integers, depth, operand_bound(x_width, x, range), weight_bound(w_width, w, a.magnitude[o]));
    ChannelStatistics statistics;
    statistics.exponent =
        moment_exponent(beta, static_cast<std::uint64_t>(a.s.n) * static_cast<std::uint64_t>(a.s.out_h) *
                                  static_cast<std::uint64_t>(a.s.out_w));
    a.statistics[o] = statistics;
    a.lo[o] = INT32_MAX;
    a.hi[o] = INT32_MIN;
  }
  if (!a.tables) return;
  for (int i = threads.first; i < a.map.rows * a.map.columns * a.s.o; i += threads.step) {
    const int o = i % a.s.o;
    int taps = 0;
    const std::int64_t sum =
        class_sum(a.map, i / a.s.o, a.tap_sums + static_cast<std::int64_t>(o) * a.s.taps(), a.s.kh, a.s.kw, &taps);
    global_store(a.offset + i, product_offset(x, a.w[o], to_binary64(sum),
                                              to_binary64(static_cast<std::int64_t>(taps) * a.s.c_per_group())));
  }
}

/// Scales and offsets of an error pass, its bound V (7.6) and the exponents of the sums for norms.
struct PrepareError {
  LaunchWidth g_width, w_width;
  const Affine* g;
  const Range* g_range;  // may be null
  const Affine* error;   // one (shared) or one an input channel
  const float* magnitude;
  bool shared_grid;
  std::int32_t grid_bits;
  const std::int64_t* tap_sums;
  ClassMap map;
  Geometry s;
  bool tables;
  ChannelScale* scale;
  double* offset;   // (classes, c)
  float* dx_bound;  // may be null
  bool sums_gradients;
  GradientSum gradient_sum;
};
/// By the first `blocks` blocks: one where gradients are summed, because the sums' exponents follow from all channels.
/// `shared`: 8 bytes.
BITCYCLE_DEVICE_CALL void prepare_error(const PrepareError& a, std::int64_t* shared, int blocks) {
  const PrepareThreads threads(blocks);
  if (thread_index() == 0) {
    shared_store(shared, std::int64_t{0});
    if (a.dx_bound != nullptr && block_index() == 0) *a.dx_bound = 0.0F;
  }
  sync_threads();
  const BitWidth g_width = a.g_width.get(), w_width = a.w_width.get();
  const bool integers = g_width.is_integer() && w_width.is_integer();
  const Affine g = *a.g;
  double largest = 0.0;
  for (int i = threads.first; i < a.s.c; i += threads.step) {
    if (w_width.is_integer() && !a.shared_grid) largest = larger(largest, code_bound(a.error[i]));
    if (!a.tables) continue;
    if (a.shared_grid) {
      a.scale[i] = {shared_scale(g, a.error[0].step), 0.0};
    } else {
      const ProductScale scale = product_scale(g, a.error[i]);
      a.scale[i] = {scale.a, scale.b};
    }
  }
  atomic_max(shared, bits_of_double(largest));
  for (int i = threads.first; a.tables && i < a.map.rows * a.map.columns * a.s.c; i += threads.step) {
    const int c = i % a.s.c;
    int taps = 0;
    const std::int64_t sum =
        class_sum(a.map, i / a.s.c, a.tap_sums + static_cast<std::int64_t>(c) * a.s.taps(), a.s.kh, a.s.kw, &taps);
    global_store(a.offset + i, a.shared_grid
                                   ? shared_offset(g, a.error[0].step, to_binary64(sum))
                                   : product_offset(g, a.error[c], to_binary64(sum),
                                                    to_binary64(static_cast<std::int64_t>(taps) * a.s.o_per_group())));
  }
  sync_threads();
  if (!a.sums_gradients) return;
  double weights = double_of_bits(shared_load(shared));
  if (w_width.is_float32()) {
    weights = static_cast<double>(a.magnitude[a.s.o]);
  } else if (a.shared_grid) {
    weights = shared_weight_bound(a.error[0].step, a.grid_bits);
  }
  const Range range = a.g_range == nullptr ? Range{} : *a.g_range;
  const double bound = product_bound(integers, static_cast<std::int64_t>(a.s.taps()) * a.s.o_per_group(),
                                     operand_bound(g_width, g, range), weights);
  prepare_gradient_sum(
      a.gradient_sum, bound, a.s.c,
      static_cast<std::uint64_t>(a.s.n) * static_cast<std::uint64_t>(a.s.h) * static_cast<std::uint64_t>(a.s.w));
}

/// The blocks of a grid that go over elements, four a thread; the first ones may have something else to do.
struct ElementBlocks {
  std::uint32_t first, stride;
  BITCYCLE_DEVICE explicit ElementBlocks(int without) {
    const auto others = static_cast<std::uint32_t>(without);
    const auto threads = static_cast<std::uint32_t>(block_threads());
    first = 4 * ((static_cast<std::uint32_t>(block_index()) - others) * threads +
                 static_cast<std::uint32_t>(thread_index()));
    stride = 4 * (static_cast<std::uint32_t>(block_count()) - others) * threads;
  }
};

/// Codes of a convolution's input: of a tensor, or of relu(norm(y)). Where asked for, the affine is made from the range
/// by every block, and written by the first.
struct QuantiseInputKernel {
  static constexpr const char* kName = "quantise input";
  static constexpr int kThreads = 256;
  struct Args {
    ConvInput input;
    std::uint32_t size, channels;
    Operand codes;
    bool scales, prepares;
    std::int32_t first_blocks;  // that make scales and prepare
    ActivationScale scale;
    PrepareForward prepare;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const ActivationScale* scale = a.scales ? &a.scale : nullptr;
    const Affine affine = input_affine(a.codes.affine, scale);
    if (block_index() < a.first_blocks) {
      if (a.scales && block_index() == 0 && thread_index() == 0) {
        *a.scale.affine = affine;
        update_running_range(a.scale.running, *a.scale.now);
      }
      if (a.prepares) prepare_forward(a.prepare, a.codes.affine, scale, a.first_blocks);
      return;
    }
    const Operand codes = with_recorded_width(a.codes);
    const ElementBlocks blocks(a.first_blocks);
    ChannelCursor cursor(blocks.first, blocks.stride, a.channels);
    NormConstants norm[4] = {};
    std::uint32_t held = UINT32_MAX;
    for (std::uint32_t e = blocks.first; e < a.size; e += blocks.stride, cursor.next()) {
      Quad x = load_quad(a.input.x, e, a.size);
      if (a.input.norm != nullptr) {
        if (cursor.channel != held) {
          held = cursor.channel;
          for (int j = 0; j < 4; ++j) norm[j] = norm_constants(a.input.norm, cursor.of(j));
        }
        for (int j = 0; j < 4; ++j) x.v[j] = relu(norm_apply(x.v[j], norm[j]));
      }
      store_codes(codes, affine, e, a.size, x, Quad{});
    }
  }
};

/// Codes of dy. The random stream's step is the launch's own, or the one in device memory.
struct QuantiseGradientKernel {
  static constexpr const char* kName = "quantise gradient";
  static constexpr int kThreads = 256;
  struct Args {
    ConvGradient gradient;
    std::uint32_t size, channels;
    Operand codes;
    bool stochastic;
    std::int32_t first_blocks;  // that prepare
    PhiloxStream noise;
    const std::uint32_t* step;  // null: noise.step
    const float* given_noise;
    PrepareError prepare;
  };
  static constexpr int kSharedBytes = 16, kMinBlocks = 4;
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (block_index() < a.first_blocks) {
      prepare_error(a.prepare, shared_memory<std::int64_t>(0), a.first_blocks);
      return;
    }
    const Operand codes = with_recorded_width(a.codes);
    const Affine affine = *codes.affine;
    PhiloxStream stream = a.noise;
    if (a.step != nullptr) stream.step = global_load(a.step);
    const ElementBlocks blocks(a.first_blocks);
    ChannelCursor cursor(blocks.first, blocks.stride, a.channels);
    GradientConstants constants[4] = {};
    std::uint32_t held = UINT32_MAX;
    for (std::uint32_t e = blocks.first; e < a.size; e += blocks.stride, cursor.next()) {
      Quad noise{};
      if (a.stochastic && a.given_noise != nullptr) {
        noise = load_quad(a.given_noise, e, a.size);
      } else if (a.stochastic) {
        const PhiloxBlock block = philox_block(stream, e / 4);
        for (int j = 0; j < 4; ++j) noise.v[j] = rounding_noise(block.word[j]);
      }
      if (a.gradient.norm != nullptr && cursor.channel != held) {
        held = cursor.channel;
        for (int j = 0; j < 4; ++j) constants[j] = gradient_constants(a.gradient, cursor.of(j));
      }
      store_codes(codes, affine, e, a.size, gradient_quad(a.gradient, constants, e, a.size), noise);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
