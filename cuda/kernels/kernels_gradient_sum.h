// SPDX-License-Identifier: Apache-2.0
// The gradient on its way to a batch norm: contributions added, masked, summed (docs/numerics.md, 7.5 and 7.6).
#pragma once

#include "cuda/kernels/kernels_norm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

// Their sums' exponents are in gradient_sum.norm[i].sums, put there by a prepare kernel.

/// Exponents of the sums for norms, with `first` a bound of the first contribution, and zeros. Threads of one block.
BITCYCLE_DEVICE void prepare_gradient_sum(const GradientSum& gradient_sum, double first, std::int64_t channels,
                                          std::uint64_t count) {
  const double bound = gradient_sum_bound(first, gradient_sum.other == nullptr ? nullptr : gradient_sum.other_bound);
  for (const GradientSum::Norm& norm : gradient_sum.norm) {
    if (norm.sums == nullptr) continue;
    for (std::int64_t c = thread_index(); c < channels; c += block_threads()) {
      norm.sums[c] = norm_gradient_grid(bound, norm.channels[c], count);
    }
  }
  if (thread_index() == 0 && gradient_sum.u_bound != nullptr) *gradient_sum.u_bound = 0.0F;
}

/// Whether the rectifier passed element e of channel c.
BITCYCLE_DEVICE bool passes_mask(const GradientSum& gradient_sum, std::uint32_t e, std::uint32_t c) {
  if (gradient_sum.mask_bits != nullptr)
    return ((global_load(gradient_sum.mask_bits + e / 32U) >> (e % 32U)) & 1U) != 0;
  if (gradient_sum.mask_y != nullptr)
    return norm_apply(global_load(gradient_sum.mask_y + e), norm_constants(gradient_sum.mask_norm, c)) > 0.0F;
  return true;
}

/// The same of the four elements from `at` on, a multiple of four: positive where it passed. word: of the mask's bits,
/// where they lie; norm: the mask's, of their channels; y: those of the first norm, which mostly is the mask's.
BITCYCLE_DEVICE Quad mask_gates(const GradientSum& gradient_sum, std::int32_t at, std::uint32_t word,
                                const NormConstants (&norm)[4], const Quad& y) {
  Quad gates{{1.0F, 1.0F, 1.0F, 1.0F}};
  if (gradient_sum.mask_bits != nullptr) {  // a bit by itself is a positive number, however small
    const std::uint32_t bits = word >> (static_cast<std::uint32_t>(at) % 32U);
    for (int j = 0; j < 4; ++j) gates.v[j] = float_of_bits(static_cast<std::int32_t>(bits & (1U << j)));
  } else if (gradient_sum.mask_y != nullptr) {
    gates = gradient_sum.mask_y == gradient_sum.norm[0].y && gradient_sum.norm[0].sums != nullptr
                ? y
                : global_load(reinterpret_cast<const Quad*>(gradient_sum.mask_y + at));
    for (int j = 0; j < 4; ++j) gates.v[j] = norm_apply(gates.v[j], norm[j]);
  }
  return gates;
}

/// Addends of the sums of one norm.
struct NormSumsGrid {
  float mean = 0.0F, to_u = 0.0F, to_ut = 0.0F;
};
BITCYCLE_DEVICE NormSumsGrid norm_sums_grid(const GradientSum::Norm& norm, std::uint32_t c) {
  return {norm.channels[c].mean, power_of_two(norm.sums[c].exponent_u), power_of_two(norm.sums[c].exponent_ut)};
}

/// The first contribution is a tensor, or a pool's gradient, dpooled / positions. A thread keeps the sums of
/// its four channels in registers for as long as it has them.
struct GradientSumKernel {
  static constexpr const char* kName = "sum gradients";
  static constexpr int kThreads = 256;
  static constexpr std::uint32_t kMostSharedChannels = 1024;
  struct Args {
    GradientSum gradient_sum;
    const float* first;    // (n, positions, channels), or null:
    const float* dpooled;  // (n, channels)
    float* dx;             // of a pool; null: not wanted
    bool sums_gradients;
    std::uint32_t size, channels, positions;  // positions of one image
  };
  static int shared_bytes(std::int64_t channels) {
    return channels <= kMostSharedChannels ? static_cast<int>(channels) * 32 : 0;
  }
  struct Sums {
    std::int64_t s_u[2][4] = {}, s_ut[2][4] = {};
  };
  /// Adds a thread's sums of the channels at `cursor` to the block's, or to the grid's.
  BITCYCLE_DEVICE static void flush(const Args& a, const ChannelCursor& cursor, Sums& own, std::int64_t* shared) {
    for (int i = 0; i < 2; ++i) {
      const GradientSum::Norm& norm = a.gradient_sum.norm[i];
      if (norm.sums == nullptr) continue;
      for (int j = 0; j < 4; ++j) {
        const std::uint32_t c = cursor.of(j);
        atomic_add(shared != nullptr ? shared + 4 * c + 2 * i : &norm.sums[c].s_u, own.s_u[i][j]);
        atomic_add(shared != nullptr ? shared + 4 * c + 2 * i + 1 : &norm.sums[c].s_ut, own.s_ut[i][j]);
      }
    }
    own = Sums{};
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const GradientSum& gradient_sum = a.gradient_sum;
    std::int64_t* sums = nullptr;  // of the block, (channels, 2 norms, 2 sums)
    if (a.channels <= kMostSharedChannels && a.sums_gradients) {
      sums = shared_memory<std::int64_t>(0);
      for (auto i = static_cast<std::uint32_t>(thread_index()); i < 4 * a.channels;
           i += static_cast<std::uint32_t>(block_threads())) {
        shared_store(sums + i, std::int64_t{0});
      }
      sync_threads();
    }
    std::int32_t largest = 0;
    const std::uint32_t stride = 4 * grid_threads();
    ChannelCursor cursor(4 * first_element(), stride, a.channels), held = cursor;
    Sums own;
    NormSumsGrid grid[2][4];
    bool fresh = true;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += stride, cursor.next()) {
      Quad u{};
      if (a.first != nullptr) {
        u = load_quad(a.first, e, a.size);
      } else {
        for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
          const std::uint32_t image = (e + j) / (a.positions * a.channels);
          u.v[j] = global_load(a.dpooled + image * a.channels + cursor.of(static_cast<int>(j))) /
                   static_cast<float>(a.positions);
        }
        if (a.dx != nullptr) store_quad(a.dx, e, a.size, u);
      }
      if (!a.sums_gradients) continue;
      if (fresh || cursor.channel != held.channel) {
        if (!fresh) flush(a, held, own, sums);
        fresh = false;
        held = cursor;
        for (int i = 0; i < 2; ++i) {
          if (gradient_sum.norm[i].sums == nullptr) continue;
          for (int j = 0; j < 4; ++j) grid[i][j] = norm_sums_grid(gradient_sum.norm[i], cursor.of(j));
        }
      }
      Quad other{};
      if (gradient_sum.other != nullptr) other = load_quad(gradient_sum.other, e, a.size);
      Quad y[2];
      for (int i = 0; i < 2; ++i) {
        if (gradient_sum.norm[i].sums != nullptr) y[i] = load_quad(gradient_sum.norm[i].y, e, a.size);
      }
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        const float sum = gradient_sum.other == nullptr ? u.v[j] : u.v[j] + other.v[j];
        const float value = passes_mask(gradient_sum, e + j, cursor.of(static_cast<int>(j))) ? sum : 0.0F;
        u.v[j] = value;
        const std::int32_t key = magnitude_key(value);
        largest = key > largest ? key : largest;
        for (int i = 0; i < 2; ++i) {
          if (gradient_sum.norm[i].sums == nullptr) continue;
          const float t = y[i].v[j] - grid[i][j].mean;
          add_wrapping(own.s_u[i][j], on_grid(value, grid[i][j].to_u));
          add_wrapping(own.s_ut[i][j], on_grid(value * t, grid[i][j].to_ut));
        }
      }
      store_quad(gradient_sum.u, e, a.size, u);
    }
    if (!a.sums_gradients) return;
    if (!fresh) flush(a, held, own, sums);
    if (gradient_sum.u_bound != nullptr)
      merge_magnitude(largest, reinterpret_cast<std::int32_t*>(gradient_sum.u_bound));
    if (sums == nullptr) return;
    sync_threads();
    for (auto i = static_cast<std::uint32_t>(thread_index()); i < 4 * a.channels;
         i += static_cast<std::uint32_t>(block_threads())) {
      const GradientSum::Norm& norm = gradient_sum.norm[(i / 2) % 2];
      if (norm.sums == nullptr) continue;
      NormGradientSums& to = norm.sums[i / 4];
      atomic_add(i % 2 == 0 ? &to.s_u : &to.s_ut, shared_load(sums + i));
    }
  }
};

/// A pool's bound of its gradient, max |dpooled|, is exact; then the exponents of the sums for norms. One block.
struct PoolPrepareKernel {
  static constexpr const char* kName = "average pool prepare";
  static constexpr int kThreads = 256;
  struct Args {
    const float* dpooled;
    std::uint32_t size;
    GradientSum gradient_sum;
    std::int64_t channels;
    std::uint64_t count;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<std::int32_t>(0);
    if (thread_index() == 0) shared_store(shared, 0);
    sync_threads();
    std::int32_t largest = 0;
    for (auto e = static_cast<std::uint32_t>(thread_index()); e < a.size;
         e += static_cast<std::uint32_t>(block_threads())) {
      const std::int32_t key = magnitude_key(global_load(a.dpooled + e));
      largest = key > largest ? key : largest;
    }
    atomic_max(shared, largest);
    sync_threads();
    prepare_gradient_sum(a.gradient_sum, static_cast<double>(float_of_bits(shared_load(shared))), a.channels, a.count);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
