// SPDX-License-Identifier: Apache-2.0
// Weights at a step's width, packed for tensor cores, and what the products' epilogues need from them: scales, offsets
// by class of positions, exponents of sums (docs/numerics.md, 2, 4, 5, 7.2).
#pragma once

#include "sim/cuda/kernels_elementwise.h"
#include "sim/ops/error_grid.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Sizes of a convolution as kernels use them.
struct Geometry {
  std::int32_t n = 0, h = 0, w = 0, c = 0, o = 0, kh = 0, kw = 0, stride = 1, padding = 0, groups = 1;
  std::int32_t out_h = 0, out_w = 0;
  BITCYCLE_DEVICE int c_per_group() const { return c / groups; }
  BITCYCLE_DEVICE int o_per_group() const { return o / groups; }
  BITCYCLE_DEVICE int taps() const { return kh * kw; }
};

/// Bytes of codes as tensor cores read them: [limb][row][k], rows and k padded with zeros.
struct Packed {
  std::uint8_t* bytes = nullptr;
  std::int32_t limbs = 0;  // 0: not packed
  std::int32_t rows = 0, depth = 0;
  BITCYCLE_DEVICE void put(int row, int k, std::uint32_t code) const {
    for (int limb = 0; limb < limbs; ++limb) {
      global_store(bytes + (static_cast<std::int64_t>(limb) * rows + row) * depth + k,
                   static_cast<std::uint8_t>(code >> (8 * limb)));
    }
  }
};

/// Largest |weight| and largest |value|, before the kernels that find them.
struct ResetWeightsKernel {
  static constexpr const char* kName = "reset weights";
  static constexpr int kThreads = 32;
  struct Args {
    float* largest;
    std::int64_t* largest_value;  // bits of a double
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() != 0) return;
    *a.largest = 0.0F;
    *a.largest_value = 0;
  }
};

BITCYCLE_DEVICE std::int64_t bits_of_double(double x) {
  std::int64_t bits = 0;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
BITCYCLE_DEVICE double double_of_bits(std::int64_t bits) {
  double x = 0.0;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// A block an output channel: range, affine, codes, their sums a tap.
struct QuantiseWeightsKernel {
  static constexpr const char* kName = "quantise weights";
  static constexpr int kThreads = 128;
  struct Args {
    const float* master;
    BitWidth width;
    MinScale min_scale;
    Geometry s;
    std::uint32_t* codes;
    Affine* affine;
    float* magnitude;
    std::int64_t* largest_value;
    std::int64_t* tap_sums;  // (o, taps)
    Packed packed;
  };
  struct Shared {
    std::int32_t lo, hi;
    Affine affine;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<Shared>(0);
    const int o = block_index(), depth = a.s.taps() * a.s.c_per_group();
    const float* master = a.master + static_cast<std::int64_t>(o) * depth;
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
    }
    sync_threads();
    KeyRange keys;
    for (int k = thread_index(); k < depth; k += block_threads()) include(keys, global_load(master + k));
    atomic_min(&shared->lo, keys.lo);
    atomic_max(&shared->hi, keys.hi);
    sync_threads();
    if (thread_index() == 0) {
      const Range range = range_of_keys({shared->lo, shared->hi});
      const float magnitude = magnitude_of(range);
      shared->affine = affine_of(range, a.width, a.min_scale);
      a.affine[o] = shared->affine;
      a.magnitude[o] = magnitude;
      atomic_max(reinterpret_cast<std::int32_t*>(a.magnitude + a.s.o), magnitude_key(magnitude));
    }
    sync_threads();
    const Affine affine = shared->affine;
    std::uint32_t* codes = a.codes + static_cast<std::int64_t>(o) * depth;
    if (a.width.is_float32()) {
      for (int k = thread_index(); k < depth; k += block_threads()) {
        global_store(reinterpret_cast<float*>(codes) + k, global_load(master + k));
      }
      return;
    }
    double largest = 0.0;
    for (int k = thread_index(); k < depth; k += block_threads()) {
      const std::uint32_t q = quantise(global_load(master + k), affine, a.width, 0.0F);
      global_store(codes + k, q);
      a.packed.put(o, k, q);
      largest = larger(largest, fabs(dequantise(q, affine)));
    }
    atomic_max(a.largest_value, bits_of_double(largest));
    sync_threads();
    for (int tap = thread_index(); tap < a.s.taps(); tap += block_threads()) {
      std::int64_t sum = 0;
      for (int i = 0; i < a.s.c_per_group(); ++i) sum += global_load(codes + tap * a.s.c_per_group() + i);
      global_store(a.tap_sums + static_cast<std::int64_t>(o) * a.s.taps() + tap, sum);
    }
  }
};

/// A block an input channel: codes of the error pass in either reading, transposed for its product.
struct QuantiseErrorWeightsKernel {
  static constexpr const char* kName = "quantise error weights";
  static constexpr int kThreads = 128;
  struct Args {
    const float* master;
    BitWidth width;
    MinScale min_scale;
    bool shared_grid;
    std::int32_t grid_bits;
    Geometry s;
    const std::uint32_t* codes;
    const Affine* affine;
    const std::int64_t* largest_value;
    std::uint32_t* error_codes;
    Affine* error_affine;
    std::int64_t* tap_sums;  // (c, taps)
    Packed packed;
  };
  struct Shared {
    std::int32_t lo, hi;
    Affine affine;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<Shared>(0);
    const int i = block_index(), cpg = a.s.c_per_group(), opg = a.s.o_per_group(), taps = a.s.taps();
    const int first_output = i / cpg * opg;
    // Element j of the channel: tap j / opg, output j % opg of the group, as the product's reduction runs.
    const auto index = [&](int j) {
      return (static_cast<std::int64_t>(first_output + j % opg) * taps + j / opg) * cpg + i % cpg;
    };
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
    }
    sync_threads();
    if (!a.shared_grid) {
      KeyRange keys;
      for (int j = thread_index(); j < taps * opg; j += block_threads())
        include(keys, global_load(a.master + index(j)));
      atomic_min(&shared->lo, keys.lo);
      atomic_max(&shared->hi, keys.hi);
      sync_threads();
    }
    if (thread_index() == 0) {
      if (a.shared_grid) {
        Affine grid;
        grid.step = error_grid_step(double_of_bits(global_load(a.largest_value)), a.grid_bits);
        grid.max_code = static_cast<std::uint32_t>(error_grid_max(a.grid_bits));
        shared->affine = grid;
        if (i == 0) a.error_affine[0] = grid;
      } else {
        shared->affine = affine_of(range_of_keys({shared->lo, shared->hi}), a.width, a.min_scale);
        a.error_affine[i] = shared->affine;
      }
    }
    sync_threads();
    const Affine affine = shared->affine;
    for (int j = thread_index(); j < taps * opg; j += block_threads()) {
      const std::int64_t e = index(j);
      const std::uint32_t q =
          a.shared_grid ? static_cast<std::uint32_t>(error_grid_code(
                              dequantise(global_load(a.codes + e), a.affine[first_output + j % opg]), affine.step))
                        : quantise(global_load(a.master + e), affine, a.width, 0.0F);
      global_store(a.error_codes + e, q);
      a.packed.put(i, j, q);
    }
    sync_threads();
    for (int tap = thread_index(); tap < taps; tap += block_threads()) {
      std::int64_t sum = 0;
      for (int j = tap * opg; j < (tap + 1) * opg; ++j) {
        const std::uint32_t q = global_load(a.error_codes + index(j));
        sum += a.shared_grid ? static_cast<std::int64_t>(static_cast<std::int32_t>(q)) : static_cast<std::int64_t>(q);
      }
      global_store(a.tap_sums + static_cast<std::int64_t>(i) * taps + tap, sum);
    }
  }
};

/// What the epilogue of a product multiplies with, one a channel: A and B of docs/numerics.md, 4.2 to 4.4.
struct ChannelScale {
  double a = 0.0, b = 0.0;
};

/// Sum of the weights' codes, and number of terms, over the taps of a class of positions.
BITCYCLE_DEVICE std::int64_t class_sum(const ClassMap& map, int position_class, const std::int64_t* tap_sums, int kh,
                                       int kw, int* taps) {
  std::int64_t sum = 0;
  *taps = 0;
  for (int y = 0; y < kh; ++y) {
    for (int x = 0; x < kw; ++x) {
      if (!map.has(position_class, y, x)) continue;
      sum += global_load(tap_sums + y * kw + x);
      ++*taps;
    }
  }
  return sum;
}

/// Scales, offsets and statistics of a forward product. Threads over output channels.
struct PrepareForwardKernel {
  static constexpr const char* kName = "prepare forward";
  static constexpr int kThreads = 64;
  struct Args {
    BitWidth x_width, w_width;
    const Affine* x;
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
  BITCYCLE_DEVICE static void run(const Args& a) {
    const bool integers = a.x_width.is_integer() && a.w_width.is_integer();
    const Affine x = *a.x;
    for (auto o = static_cast<int>(first_element()); o < a.s.o; o += static_cast<int>(grid_threads())) {
      const Affine w = a.w[o];
      if (a.tables) {
        const ProductScale scale = product_scale(x, w);
        a.scale[o] = {scale.a, scale.b};
        for (int k = 0; k < a.map.rows * a.map.columns; ++k) {
          int taps = 0;
          const std::int64_t sum =
              class_sum(a.map, k, a.tap_sums + static_cast<std::int64_t>(o) * a.s.taps(), a.s.kh, a.s.kw, &taps);
          a.offset[static_cast<std::int64_t>(k) * a.s.o + o] =
              product_offset(x, w, to_binary64(sum), to_binary64(static_cast<std::int64_t>(taps) * a.s.c_per_group()));
        }
      }
      if (a.statistics == nullptr) continue;
      const Range range = a.x_range == nullptr ? Range{} : *a.x_range;
      const double beta = product_bound(integers, static_cast<std::int64_t>(a.s.taps()) * a.s.c_per_group(),
                                        operand_bound(a.x_width, x, range), weight_bound(a.w_width, w, a.magnitude[o]));
      ChannelStatistics statistics;
      statistics.exponent =
          moment_exponent(beta, static_cast<std::uint64_t>(a.s.n) * static_cast<std::uint64_t>(a.s.out_h) *
                                    static_cast<std::uint64_t>(a.s.out_w));
      a.statistics[o] = statistics;
      a.lo[o] = INT32_MAX;
      a.hi[o] = INT32_MIN;
    }
  }
};

/// Scales and offsets of an error pass, its bound V (7.6) and the join's exponents. One block.
struct PrepareErrorKernel {
  static constexpr const char* kName = "prepare error";
  static constexpr int kThreads = 256;
  struct Args {
    BitWidth g_width, w_width;
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
    bool joins;
    GradientJoin join;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<std::int64_t>(0);
    if (thread_index() == 0) {
      shared_store(shared, std::int64_t{0});
      if (a.dx_bound != nullptr) *a.dx_bound = 0.0F;
    }
    sync_threads();
    const bool integers = a.g_width.is_integer() && a.w_width.is_integer();
    const Affine g = *a.g;
    double largest = 0.0;
    for (int i = thread_index(); i < a.s.c; i += block_threads()) {
      if (a.w_width.is_integer() && !a.shared_grid) largest = larger(largest, code_bound(a.error[i]));
      if (!a.tables) continue;
      const double grid = a.error[0].step;
      if (a.shared_grid) {
        a.scale[i] = {shared_scale(g, grid), 0.0};
      } else {
        const ProductScale scale = product_scale(g, a.error[i]);
        a.scale[i] = {scale.a, scale.b};
      }
      for (int k = 0; k < a.map.rows * a.map.columns; ++k) {
        int taps = 0;
        const std::int64_t sum =
            class_sum(a.map, k, a.tap_sums + static_cast<std::int64_t>(i) * a.s.taps(), a.s.kh, a.s.kw, &taps);
        a.offset[static_cast<std::int64_t>(k) * a.s.c + i] =
            a.shared_grid ? shared_offset(g, grid, to_binary64(sum))
                          : product_offset(g, a.error[i], to_binary64(sum),
                                           to_binary64(static_cast<std::int64_t>(taps) * a.s.o_per_group()));
      }
    }
    atomic_max(shared, bits_of_double(largest));
    sync_threads();
    if (!a.joins) return;
    double weights = double_of_bits(shared_load(shared));
    if (a.w_width.is_float32()) {
      weights = static_cast<double>(a.magnitude[a.s.o]);
    } else if (a.shared_grid) {
      weights = shared_weight_bound(a.error[0].step, a.grid_bits);
    }
    const Range range = a.g_range == nullptr ? Range{} : *a.g_range;
    const double bound = product_bound(integers, static_cast<std::int64_t>(a.s.taps()) * a.s.o_per_group(),
                                       operand_bound(a.g_width, g, range), weights);
    prepare_join(
        a.join, bound, a.s.c,
        static_cast<std::uint64_t>(a.s.n) * static_cast<std::uint64_t>(a.s.h) * static_cast<std::uint64_t>(a.s.w));
  }
};

/// Sums of codes by class of positions and channel, of two tensors: the first blocks take one, the rest the other. The
/// sums are 0 before.
struct ClassSumsKernel {
  static constexpr const char* kName = "sums of codes";
  static constexpr int kThreads = 256;
  static constexpr int kMostShared = 4096;
  struct Tensor {
    const void* codes;
    Container container;
    std::uint32_t size;
    std::int32_t h, w, channels;
    ClassMap map;
    std::int64_t* sums;  // (classes, channels)
  };
  struct Args {
    Tensor tensor[2];
    std::int32_t first_blocks;
  };
  static int shared_bytes(std::int64_t entries) { return entries <= kMostShared ? static_cast<int>(entries) * 8 : 0; }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const bool second = block_index() >= a.first_blocks;
    const int blocks = second ? block_count() - a.first_blocks : a.first_blocks;
    const int block = second ? block_index() - a.first_blocks : block_index();
    const Tensor& t = a.tensor[second ? 1 : 0];
    auto* shared = shared_memory<std::int64_t>(0);
    const int entries = t.map.rows * t.map.columns * t.channels;
    const bool in_shared = entries <= kMostShared;
    if (in_shared) {
      for (int i = thread_index(); i < entries; i += block_threads()) shared_store(shared + i, std::int64_t{0});
      sync_threads();
    }
    std::int64_t* sums = in_shared ? shared : t.sums;
    const auto channels = static_cast<std::uint32_t>(t.channels), threads = static_cast<std::uint32_t>(block_threads());
    const std::uint32_t stride = 4 * static_cast<std::uint32_t>(blocks) * threads;
    for (std::uint32_t e =
             4 * (static_cast<std::uint32_t>(block) * threads + static_cast<std::uint32_t>(thread_index()));
         e < t.size; e += stride) {
      std::uint32_t q[4];
      const bool word = t.container == Container::kUint8 && t.size - e >= 4;
      if (word) {
        const std::uint32_t packed =
            global_load(reinterpret_cast<const std::uint32_t*>(static_cast<const std::uint8_t*>(t.codes) + e));
        for (int j = 0; j < 4; ++j) q[j] = (packed >> (8 * j)) & 255U;
      }
      for (std::uint32_t j = 0; j < 4 && e + j < t.size; ++j) {
        if (!word) q[j] = load_code(t.codes, t.container, e + j);
        const std::uint32_t pixel = (e + j) / channels;
        const auto column = static_cast<int>(pixel % static_cast<std::uint32_t>(t.w));
        const auto row = static_cast<int>(pixel / static_cast<std::uint32_t>(t.w) % static_cast<std::uint32_t>(t.h));
        atomic_add(sums + static_cast<std::int64_t>(t.map.of(row, column)) * t.channels + (e + j) % channels,
                   static_cast<std::int64_t>(q[j]));
      }
    }
    if (!in_shared) return;
    sync_threads();
    for (int i = thread_index(); i < entries; i += block_threads()) {
      const std::int64_t sum = shared_load(shared + i);
      if (sum != 0) atomic_add(t.sums + i, sum);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
