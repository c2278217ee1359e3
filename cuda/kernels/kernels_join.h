// SPDX-License-Identifier: Apache-2.0
// The gradient on its way to a batch norm: contributions joined, masked, summed (docs/numerics.md, 7.5 and 7.6).
#pragma once

#include "cuda/kernels/kernels_norm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

// Joins. Their sums' exponents are in join.norm[i].sums, put there by a prepare kernel.

/// Exponents of a join's sums, with `first` a bound of the first contribution, and zeros. Threads of one block.
BITCYCLE_DEVICE void prepare_join(const GradientJoin& join, double first, std::int64_t channels, std::uint64_t count) {
  const double bound = join_bound(first, join.other == nullptr ? nullptr : join.other_bound);
  for (const GradientJoin::Norm& norm : join.norm) {
    if (norm.sums == nullptr) continue;
    for (std::int64_t c = thread_index(); c < channels; c += block_threads()) {
      norm.sums[c] = norm_gradient_grid(bound, norm.channels[c], count);
    }
  }
  if (thread_index() == 0 && join.u_bound != nullptr) *join.u_bound = 0.0F;
}

/// Whether the rectifier passed element e of channel c.
BITCYCLE_DEVICE bool join_passes(const GradientJoin& join, std::uint32_t e, std::uint32_t c) {
  if (join.mask_bits != nullptr) return ((global_load(join.mask_bits + e / 32U) >> (e % 32U)) & 1U) != 0;
  if (join.mask_y != nullptr) return norm_apply(global_load(join.mask_y + e), norm_constants(join.mask_norm, c)) > 0.0F;
  return true;
}

/// The same of the four elements from `at` on, a multiple of four: positive where it passed. word: of the mask's bits,
/// where they lie; norm: the mask's, of their channels; y: those of the join's first norm, which mostly is the mask's.
BITCYCLE_DEVICE Quad join_gates(const GradientJoin& join, std::int32_t at, std::uint32_t word,
                                const NormConstants (&norm)[4], const Quad& y) {
  Quad gates{{1.0F, 1.0F, 1.0F, 1.0F}};
  if (join.mask_bits != nullptr) {  // a bit by itself is a positive number, however small
    const std::uint32_t bits = word >> (static_cast<std::uint32_t>(at) % 32U);
    for (int j = 0; j < 4; ++j) gates.v[j] = float_of_bits(static_cast<std::int32_t>(bits & (1U << j)));
  } else if (join.mask_y != nullptr) {
    gates = join.mask_y == join.norm[0].y && join.norm[0].sums != nullptr
                ? y
                : global_load(reinterpret_cast<const Quad*>(join.mask_y + at));
    for (int j = 0; j < 4; ++j) gates.v[j] = norm_apply(gates.v[j], norm[j]);
  }
  return gates;
}

/// Addends of the sums of one norm.
struct JoinGrid {
  float mean = 0.0F, to_u = 0.0F, to_ut = 0.0F;
};
BITCYCLE_DEVICE JoinGrid join_grid(const GradientJoin::Norm& norm, std::uint32_t c) {
  return {norm.channels[c].mean, power_of_two(norm.sums[c].exponent_u), power_of_two(norm.sums[c].exponent_ut)};
}

/// Joins a first contribution that is a tensor, or a pool's gradient, dpooled / positions. A thread keeps the sums of
/// its four channels in registers for as long as it has them.
struct JoinKernel {
  static constexpr const char* kName = "join gradients";
  static constexpr int kThreads = 256;
  static constexpr std::uint32_t kMostSharedChannels = 1024;
  struct Args {
    GradientJoin join;
    const float* first;    // (n, positions, channels), or null:
    const float* dpooled;  // (n, channels)
    float* dx;             // of a pool; null: not wanted
    bool joins;
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
      const GradientJoin::Norm& norm = a.join.norm[i];
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
    const GradientJoin& join = a.join;
    std::int64_t* sums = nullptr;  // of the block, (channels, 2 norms, 2 sums)
    if (a.channels <= kMostSharedChannels && a.joins) {
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
    JoinGrid grid[2][4];
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
      if (!a.joins) continue;
      if (fresh || cursor.channel != held.channel) {
        if (!fresh) flush(a, held, own, sums);
        fresh = false;
        held = cursor;
        for (int i = 0; i < 2; ++i) {
          if (join.norm[i].sums == nullptr) continue;
          for (int j = 0; j < 4; ++j) grid[i][j] = join_grid(join.norm[i], cursor.of(j));
        }
      }
      Quad other{};
      if (join.other != nullptr) other = load_quad(join.other, e, a.size);
      Quad y[2];
      for (int i = 0; i < 2; ++i) {
        if (join.norm[i].sums != nullptr) y[i] = load_quad(join.norm[i].y, e, a.size);
      }
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        const float sum = join.other == nullptr ? u.v[j] : u.v[j] + other.v[j];
        const float value = join_passes(join, e + j, cursor.of(static_cast<int>(j))) ? sum : 0.0F;
        u.v[j] = value;
        const std::int32_t key = magnitude_key(value);
        largest = key > largest ? key : largest;
        for (int i = 0; i < 2; ++i) {
          if (join.norm[i].sums == nullptr) continue;
          const float t = y[i].v[j] - grid[i][j].mean;
          add_wrapping(own.s_u[i][j], on_grid(value, grid[i][j].to_u));
          add_wrapping(own.s_ut[i][j], on_grid(value * t, grid[i][j].to_ut));
        }
      }
      store_quad(join.u, e, a.size, u);
    }
    if (!a.joins) return;
    if (!fresh) flush(a, held, own, sums);
    if (join.u_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(join.u_bound));
    if (sums == nullptr) return;
    sync_threads();
    for (auto i = static_cast<std::uint32_t>(thread_index()); i < 4 * a.channels;
         i += static_cast<std::uint32_t>(block_threads())) {
      const GradientJoin::Norm& norm = join.norm[(i / 2) % 2];
      if (norm.sums == nullptr) continue;
      NormGradientSums& to = norm.sums[i / 4];
      atomic_add(i % 2 == 0 ? &to.s_u : &to.s_ut, shared_load(sums + i));
    }
  }
};

/// A pool's bound of its gradient, max |dpooled|, is exact; then the join's exponents. One block.
struct PoolPrepareKernel {
  static constexpr const char* kName = "average pool prepare";
  static constexpr int kThreads = 256;
  struct Args {
    const float* dpooled;
    std::uint32_t size;
    GradientJoin join;
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
    prepare_join(a.join, static_cast<double>(float_of_bits(shared_load(shared))), a.channels, a.count);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
