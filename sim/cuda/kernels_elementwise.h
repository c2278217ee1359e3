// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels: ranges, codes, batch norm, joins, pools, the optimiser. A thread takes four neighbouring
// elements at a time, so that loads and stores are 16 bytes wide and a Philox block serves one thread.
#pragma once

#include "sim/cuda/kernels_common.h"
#include "sim/number/order_free_sum.h"
#include "sim/number/philox.h"
#include "sim/ops/activation.h"
#include "sim/ops/augmentation.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"
#include "sim/ops/sgd.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// The step that this step's random streams carry, in device memory: launches that read it there do not change.
struct StepStartKernel {
  static constexpr const char* kName = "step start";
  static constexpr int kThreads = 32;
  struct Args {
    std::uint32_t* step;
    std::uint32_t value;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() == 0) global_store(a.step, a.value);
  }
};

/// Range of a tensor.
struct RangeKernel {
  static constexpr const char* kName = "tensor range";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    std::uint32_t size;
    Range* range;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    KeyRange keys;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) include(keys, x.v[j]);
    }
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *a.range = range;
  }
};

struct ActivationScaleKernel {
  static constexpr const char* kName = "activation scale";
  static constexpr int kThreads = 32;
  struct Args {
    ActivationScale scale;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() != 0) return;
    const ActivationScale& s = a.scale;
    if (s.training) {
      *s.affine = affine_of(*s.now, s.width, s.min_scale);
      update_running_range(s.running, *s.now);
    } else {
      *s.affine = running_affine(s.running, s.width, s.min_scale);
    }
  }
};

/// What dy of one channel is made with (sim/ops/norm.h, norm_backward).
struct alignas(16) GradientConstants {
  float mean, a, k, c;
};
BITCYCLE_DEVICE GradientConstants gradient_constants(const ConvGradient& g, std::uint32_t c) {
  const NormGradientChannel gradient = g.gradient[c];
  return {g.norm[c].mean, gradient.a, gradient.k, gradient.c};
}
/// dy of elements e..e+3 (sim/backend.h, ConvGradient).
BITCYCLE_DEVICE Quad gradient_quad(const ConvGradient& g, const GradientConstants (&constants)[4], std::uint32_t e,
                                   std::uint32_t size) {
  Quad u = load_quad(g.u, e, size);
  if (g.norm == nullptr) return u;
  const Quad y = load_quad(g.y, e, size);
  for (int j = 0; j < 4; ++j) {
    NormChannel norm;
    norm.mean = constants[j].mean;
    u.v[j] = norm_backward(u.v[j], y.v[j], norm, {constants[j].a, constants[j].k, constants[j].c});
  }
  return u;
}

/// Range and affine of dy; before it, where asked for, the coefficients of dy from the sums (every block makes them for
/// itself, the first one also writes them).
struct GradientScaleKernel {
  static constexpr const char* kName = "gradient range";
  static constexpr int kThreads = 256;
  static constexpr int kTable = (sizeof(GridRange::Shared) + 15) / 16 * 16;  // of shared memory: constants by channel
  static constexpr std::int64_t kMostChannels = 2048;                        // that are prepared here
  struct Args {
    ConvGradient gradient;
    std::uint32_t size, channels;
    BitWidth width;
    MinScale min_scale;
    bool zero_on_grid, prepares;
    Range* range;
    Affine* affine;
    Scratch* scratch;
    NormGradientPrepare prepare;
  };
  static int shared_bytes(bool prepares, std::int64_t channels) {
    return kTable + (prepares ? static_cast<int>(channels) * static_cast<int>(sizeof(GradientConstants)) : 0);
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* table = shared_memory<GradientConstants>(kTable);
    if (a.prepares) {
      const NormGradientPrepare& p = a.prepare;
      for (auto c = static_cast<std::uint32_t>(thread_index()); c < a.channels;
           c += static_cast<std::uint32_t>(block_threads())) {
        const NormChannel norm = p.norm[c];
        const NormGradientResult result = norm_gradient_channel(p.sums[c], norm, p.count);
        shared_store(table + c, GradientConstants{norm.mean, result.gradient.a, result.gradient.k, result.gradient.c});
        if (block_index() != 0) continue;
        p.gradient[c] = result.gradient;
        p.dgamma[c] = result.dgamma;
        p.dbeta[c] = result.dbeta;
      }
      sync_threads();
    }
    KeyRange keys;
    const std::uint32_t stride = 4 * grid_threads();
    ChannelCursor cursor(4 * first_element(), stride, a.channels);
    GradientConstants constants[4] = {};
    std::uint32_t held = UINT32_MAX;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += stride, cursor.next()) {
      if (a.gradient.norm != nullptr && cursor.channel != held) {
        held = cursor.channel;
        for (int j = 0; j < 4; ++j) {
          constants[j] = a.prepares ? shared_load(table + cursor.of(j)) : gradient_constants(a.gradient, cursor.of(j));
        }
      }
      const Quad dy = gradient_quad(a.gradient, constants, e, a.size);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) include(keys, dy.v[j]);
    }
    Range range;
    if (!GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) return;
    *a.range = range;
    *a.affine = gradient_affine(range, a.width, a.min_scale, a.zero_on_grid);
  }
};

// Batch norm.

/// The block's threads over the channels; the extremes of relu(norm(y)) that each thread saw.
BITCYCLE_DEVICE KeyRange norm_prepare_channels(const NormPrepare& p) {
  KeyRange keys;
  for (std::int64_t c = thread_index(); c < p.channels; c += block_threads()) {
    const ChannelStatistics statistics = p.statistics[c];
    const NormChannel norm =
        norm_prepare_channel(statistics, p.count, p.gamma[c], p.beta[c], &p.running_mean[c], &p.running_variance[c]);
    p.norm[c] = norm;
    if (p.count != 0) include_relu_range(keys, statistics, norm);
  }
  return keys;
}
/// One block: the norms of all channels and, where asked for, their range. `shared` is the block's to use.
BITCYCLE_DEVICE_CALL void norm_prepare_block(const NormPrepare& p, KeyRange* shared) {
  const KeyRange keys = norm_prepare_channels(p);
  if (p.relu_range == nullptr) return;
  if (thread_index() == 0) *shared = KeyRange{};
  sync_threads();
  atomic_min(&shared->lo, keys.lo);
  atomic_max(&shared->hi, keys.hi);
  sync_threads();
  if (thread_index() == 0) *p.relu_range = range_of_keys(*shared);
}

/// Where no product ends with it (ForwardProductKernel).
struct NormPrepareKernel {
  static constexpr const char* kName = "batch norm prepare";
  static constexpr int kThreads = 256;
  struct Args {
    NormPrepare prepare;
  };
  static constexpr int kSharedBytes = sizeof(KeyRange);
  BITCYCLE_DEVICE static void run(const Args& a) {  // one block
    norm_prepare_block(a.prepare, shared_memory<KeyRange>(0));
  }
};

struct NormFromRunningKernel {
  static constexpr const char* kName = "batch norm from running";
  static constexpr int kThreads = 256;
  struct Args {
    std::int64_t channels;
    const float *mean, *variance, *gamma, *beta;
    NormChannel* norm;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::int64_t c = first_element(); c < a.channels; c += grid_threads()) {
      a.norm[c] = norm_running_channel(a.mean[c], a.variance[c], a.gamma[c], a.beta[c]);
    }
  }
};

/// What z of one channel is made with.
struct NormConstants {
  float mean, a, beta;
};
BITCYCLE_DEVICE NormConstants norm_constants(const NormChannel* norm, std::uint32_t c) {
  return {norm[c].mean, norm[c].a, norm[c].beta};
}
BITCYCLE_DEVICE float norm_apply(float y, const NormConstants& constants) {
  NormChannel norm;
  norm.mean = constants.mean;
  norm.a = constants.a;
  norm.beta = constants.beta;
  return bitcycle::norm_apply(y, norm);
}

/// Eight threads make a word of the mask: each has four elements, shuffles gather their bits.
struct NormForwardKernel {
  static constexpr const char* kName = "batch norm forward";
  static constexpr int kThreads = 256;
  struct Args {
    NormForward norm;
    std::uint32_t size;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    const NormForward& f = a.norm;
    KeyRange keys;
    // All lanes of a warp go round together: the mask's shuffles need them.
    const std::uint32_t rounded = (a.size + 127U) / 128U * 128U, stride = 4 * grid_threads();
    ChannelCursor cursor(4 * first_element(), stride, static_cast<std::uint32_t>(f.channels));
    NormConstants norm[4] = {}, shortcut_norm[4] = {};
    std::uint32_t held = UINT32_MAX;
    for (std::uint32_t e = 4 * first_element(); e < rounded; e += stride, cursor.next()) {
      std::uint32_t bits = 0;
      if (e < a.size) {
        if (cursor.channel != held) {
          held = cursor.channel;
          for (int j = 0; j < 4; ++j) {
            norm[j] = norm_constants(f.norm, cursor.of(j));
            if (f.shortcut_norm != nullptr) shortcut_norm[j] = norm_constants(f.shortcut_norm, cursor.of(j));
          }
        }
        Quad z = load_quad(f.y, e, a.size);
        Quad shortcut{};
        if (f.shortcut != nullptr) shortcut = load_quad(f.shortcut, e, a.size);
        for (std::uint32_t j = 0; j < 4; ++j) {
          float v = norm_apply(z.v[j], norm[j]);
          if (f.shortcut != nullptr) {
            v = v + (f.shortcut_norm == nullptr ? shortcut.v[j] : norm_apply(shortcut.v[j], shortcut_norm[j]));
          }
          if (f.relu) v = relu(v);
          z.v[j] = v;
          if (e + j < a.size) {
            bits |= (v > 0.0F ? 1U : 0U) << ((e + j) % 32U);
            include(keys, v);
          }
        }
        store_quad(f.z, e, a.size, z);
      }
      if (f.mask_bits == nullptr) continue;
      for (int m = 1; m < 8; m *= 2) bits |= shuffle_xor(kAllLanes, bits, m);
      if (lane_index() % 8 == 0 && e < a.size) global_store(f.mask_bits + e / 32U, bits);
    }
    if (f.range == nullptr) return;
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *f.range = range;
  }
};

/// Where no range of dy begins with it (GradientScaleKernel).
struct NormGradientPrepareKernel {
  static constexpr const char* kName = "batch norm gradient prepare";
  static constexpr int kThreads = 256;
  struct Args {
    NormGradientPrepare prepare;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const NormGradientPrepare& p = a.prepare;
    for (std::int64_t c = first_element(); c < p.channels; c += grid_threads()) {
      const NormGradientResult result = norm_gradient_channel(p.sums[c], p.norm[c], p.count);
      p.gradient[c] = result.gradient;
      p.dgamma[c] = result.dgamma;
      p.dbeta[c] = result.dbeta;
    }
  }
};

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

/// The same of the four elements from `at` on, a multiple of four, as bits. y: those of the join's first norm, which
/// mostly is the one of the mask.
BITCYCLE_DEVICE std::uint32_t join_passes_quad(const GradientJoin& join, std::int32_t at, std::int32_t c,
                                               const Quad& y) {
  const auto e = static_cast<std::uint32_t>(at);
  if (join.mask_bits != nullptr) return global_load(join.mask_bits + e / 32U) >> (e % 32U);
  if (join.mask_y == nullptr) return 15U;
  const Quad masked = join.mask_y == join.norm[0].y && join.norm[0].sums != nullptr
                          ? y
                          : global_load(reinterpret_cast<const Quad*>(join.mask_y + at));
  std::uint32_t bits = 0;
  for (int j = 0; j < 4; ++j) {
    const NormConstants norm = norm_constants(join.mask_norm, static_cast<std::uint32_t>(c + j));
    bits |= (norm_apply(masked.v[j], norm) > 0.0F ? 1U : 0U) << j;
  }
  return bits;
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

struct AveragePoolKernel {
  static constexpr const char* kName = "average pool";
  static constexpr int kThreads = 128;
  struct Args {
    AveragePool pool;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const AveragePool& p = a.pool;
    for (std::int64_t i = first_element(); i < p.n * p.channels; i += grid_threads()) {
      const float* x = p.x + i / p.channels * p.positions * p.channels + i % p.channels;
      float sum = 0.0F;
      for (std::int64_t position = 0; position < p.positions; ++position) {
        sum = sum + global_load(x + position * p.channels);
      }
      global_store(p.pooled + i, sum / static_cast<float>(p.positions));
    }
  }
};

/// A thread a pixel; the range of all, where asked for.
struct LoadImagesKernel {
  static constexpr const char* kName = "load images";
  static constexpr int kThreads = 256;
  struct Args {
    ImageBatch batch;
    std::uint32_t pixels;  // n * h * w
    Range* range;          // may be null
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    const ImageBatch& b = a.batch;
    const auto h = static_cast<std::int32_t>(b.h), w = static_cast<std::int32_t>(b.w);
    const auto plane = static_cast<std::uint32_t>(h * w);
    KeyRange keys;
    for (std::uint32_t pixel = first_element(); pixel < a.pixels; pixel += grid_threads()) {
      const std::uint32_t i = pixel / plane;
      const auto y = static_cast<std::int32_t>(pixel % plane) / w, x = static_cast<std::int32_t>(pixel % plane) % w;
      const ImagePlace place = global_load(b.places + i);
      if (y == 0 && x == 0) global_store(b.labels + i, global_load(b.set_labels + place.image));
      Augmentation augmentation;
      if (b.augment) augmentation = augmentation_of(b.seed, place.epoch, place.image);
      const std::int32_t from_y = y + augmentation.shift_y;
      const std::int32_t from_x = (augmentation.flip ? w - 1 - x : x) + augmentation.shift_x;
      const bool exists = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      const std::uint8_t* from = b.pixels + ((static_cast<std::int64_t>(place.image) * h + from_y) * w + from_x) * 3;
      float* to = b.x + static_cast<std::int64_t>(pixel) * 3;
      for (int c = 0; c < 3; ++c) {
        const int byte = exists ? global_load(from + c) : 0;
        const float value = global_load(b.table + c * 256 + byte);
        global_store(to + c, value);
        include(keys, value);
      }
    }
    if (a.range == nullptr) return;
    Range range;
    if (GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) *a.range = range;
  }
};

/// Of elements first..first+3 the first that is not finite, to scratch->first.
BITCYCLE_DEVICE void note_non_finite(const Quad& x, std::uint32_t first, std::uint32_t size, Scratch* scratch) {
  for (std::uint32_t j = 0; j < 4 && first + j < size; ++j) {
    if (is_finite_bits(x.v[j])) continue;
    atomic_min(&scratch->first, static_cast<std::int64_t>(first + j));
    return;
  }
}
/// The last block says what was found, -1 for nothing. `shared`: one word.
BITCYCLE_DEVICE void report_non_finite(Scratch* scratch, std::int64_t* place, std::uint32_t* shared) {
  if (!last_block(&scratch->ticket, shared) || thread_index() != 0) return;
  const std::int64_t first = atomic_load(&scratch->first);
  *place = first == INT64_MAX ? -1 : first;
  global_store(&scratch->first, std::int64_t{INT64_MAX});
}

struct SgdKernel {
  static constexpr const char* kName = "sgd";
  static constexpr int kThreads = 256;
  struct Args {
    SgdUpdate sgd;
    std::uint32_t size;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static void run(const Args& a) {
    const SgdUpdate& s = a.sgd;
    const bool skips = s.guard != nullptr && global_load(s.guard) >= 0;
    for (std::uint32_t e = 4 * first_element(); e < a.size && !skips; e += 4 * grid_threads()) {
      const Quad g = load_quad(s.gradient, e, a.size);
      Quad m = load_quad(s.momentum_buffer, e, a.size), w = load_quad(s.parameter, e, a.size);
      for (int j = 0; j < 4; ++j) sgd_element(g.v[j], m.v[j], w.v[j], s.lr, s.momentum, s.weight_decay);
      store_quad(s.momentum_buffer, e, a.size, m);
      store_quad(s.parameter, e, a.size, w);
      if (s.non_finite != nullptr) note_non_finite(w, e, a.size, a.scratch);
    }
    if (s.non_finite != nullptr) report_non_finite(a.scratch, s.non_finite, shared_memory<std::uint32_t>(0));
  }
};

struct NonFiniteKernel {
  static constexpr const char* kName = "first non-finite";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    std::uint32_t size;
    std::int64_t* place;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      note_non_finite(load_quad(a.x, e, a.size), e, a.size, a.scratch);
    }
    report_non_finite(a.scratch, a.place, shared_memory<std::uint32_t>(0));
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
