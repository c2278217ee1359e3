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

struct FillKernel {
  static constexpr const char* kName = "fill";
  static constexpr int kThreads = 256;
  struct Args {
    std::uint32_t* words;
    std::uint32_t count, value;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t i = first_element(); i < a.count; i += grid_threads()) global_store(a.words + i, a.value);
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
  BITCYCLE_DEVICE static void run(const Args& a) {
    KeyRange keys;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) include(keys, x.v[j]);
    }
    merge_range(keys, &a.scratch->lo, &a.scratch->hi);
    if (!last_block(&a.scratch->ticket, shared_memory<std::uint32_t>(0)) || thread_index() != 0) return;
    *a.range = range_of_keys({atomic_load(&a.scratch->lo), atomic_load(&a.scratch->hi)});
    global_store(&a.scratch->lo, INT32_MAX);
    global_store(&a.scratch->hi, INT32_MIN);
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

/// dy of elements e..e+3 (sim/backend.h, ConvGradient).
BITCYCLE_DEVICE Quad gradient_quad(const ConvGradient& g, std::uint32_t e, std::uint32_t size, std::uint32_t channels) {
  Quad u = load_quad(g.u, e, size);
  if (g.norm == nullptr) return u;
  const Quad y = load_quad(g.y, e, size);
  std::uint32_t c = e % channels;
  for (int j = 0; j < 4; ++j) {
    u.v[j] = norm_backward(u.v[j], y.v[j], g.norm[c], g.gradient[c]);
    c = c + 1 == channels ? 0 : c + 1;
  }
  return u;
}

/// Range and affine of dy.
struct GradientScaleKernel {
  static constexpr const char* kName = "gradient range";
  static constexpr int kThreads = 256;
  struct Args {
    ConvGradient gradient;
    std::uint32_t size, channels;
    BitWidth width;
    MinScale min_scale;
    bool zero_on_grid;
    Range* range;
    Affine* affine;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    KeyRange keys;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad dy = gradient_quad(a.gradient, e, a.size, a.channels);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) include(keys, dy.v[j]);
    }
    merge_range(keys, &a.scratch->lo, &a.scratch->hi);
    if (!last_block(&a.scratch->ticket, shared_memory<std::uint32_t>(0)) || thread_index() != 0) return;
    const Range range = range_of_keys({atomic_load(&a.scratch->lo), atomic_load(&a.scratch->hi)});
    *a.range = range;
    *a.affine = gradient_affine(range, a.width, a.min_scale, a.zero_on_grid);
    global_store(&a.scratch->lo, INT32_MAX);
    global_store(&a.scratch->hi, INT32_MIN);
  }
};

/// Codes of a convolution's input: of a tensor, or of relu(norm(y)).
struct QuantiseInputKernel {
  static constexpr const char* kName = "quantise input";
  static constexpr int kThreads = 256;
  struct Args {
    ConvInput input;
    std::uint32_t size, channels;
    Operand codes;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Affine affine = *a.codes.affine;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad x = load_quad(a.input.x, e, a.size);
      if (a.input.norm != nullptr) {
        std::uint32_t c = e % a.channels;
        for (int j = 0; j < 4; ++j) {
          x.v[j] = relu(norm_apply(x.v[j], a.input.norm[c]));
          c = c + 1 == a.channels ? 0 : c + 1;
        }
      }
      store_codes(a.codes, affine, e, a.size, x, Quad{});
    }
  }
};

struct QuantiseGradientKernel {
  static constexpr const char* kName = "quantise gradient";
  static constexpr int kThreads = 256;
  struct Args {
    ConvGradient gradient;
    std::uint32_t size, channels;
    Operand codes;
    bool stochastic;
    PhiloxStream noise;
    const float* given_noise;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Affine affine = *a.codes.affine;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad noise{};
      if (a.stochastic && a.given_noise != nullptr) {
        noise = load_quad(a.given_noise, e, a.size);
      } else if (a.stochastic) {
        const PhiloxBlock block = philox_block(a.noise, e / 4);
        for (int j = 0; j < 4; ++j) noise.v[j] = rounding_noise(block.word[j]);
      }
      store_codes(a.codes, affine, e, a.size, gradient_quad(a.gradient, e, a.size, a.channels), noise);
    }
  }
};

// Batch norm.

struct NormPrepareKernel {
  static constexpr const char* kName = "batch norm prepare";
  static constexpr int kThreads = 256;
  struct Args {
    NormPrepare prepare;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {  // one block
    const NormPrepare& p = a.prepare;
    KeyRange keys;
    for (std::int64_t c = thread_index(); c < p.channels; c += block_threads()) {
      const NormChannel norm = norm_prepare_channel(p.statistics[c], p.count, p.gamma[c], p.beta[c], &p.running_mean[c],
                                                    &p.running_variance[c]);
      p.norm[c] = norm;
      if (p.count != 0) include_relu_range(keys, p.statistics[c], norm);
    }
    if (p.relu_range == nullptr) return;
    merge_range(keys, &a.scratch->lo, &a.scratch->hi);
    thread_fence();
    sync_threads();
    if (thread_index() != 0) return;
    *p.relu_range = range_of_keys({atomic_load(&a.scratch->lo), atomic_load(&a.scratch->hi)});
    global_store(&a.scratch->lo, INT32_MAX);
    global_store(&a.scratch->hi, INT32_MIN);
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

/// Eight threads make a word of the mask: each has four elements, shuffles gather their bits.
struct NormForwardKernel {
  static constexpr const char* kName = "batch norm forward";
  static constexpr int kThreads = 256;
  struct Args {
    NormForward norm;
    std::uint32_t size;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const NormForward& f = a.norm;
    const auto channels = static_cast<std::uint32_t>(f.channels);
    KeyRange keys;
    // All lanes of a warp go round together: the mask's shuffles need them.
    const std::uint32_t rounded = (a.size + 127U) / 128U * 128U;
    for (std::uint32_t e = 4 * first_element(); e < rounded; e += 4 * grid_threads()) {
      std::uint32_t bits = 0;
      if (e < a.size) {
        Quad z = load_quad(f.y, e, a.size);
        Quad shortcut{};
        if (f.shortcut != nullptr) shortcut = load_quad(f.shortcut, e, a.size);
        std::uint32_t c = e % channels;
        for (std::uint32_t j = 0; j < 4; ++j) {
          float v = norm_apply(z.v[j], f.norm[c]);
          if (f.shortcut != nullptr) {
            v = v + (f.shortcut_norm == nullptr ? shortcut.v[j] : norm_apply(shortcut.v[j], f.shortcut_norm[c]));
          }
          if (f.relu) v = relu(v);
          z.v[j] = v;
          if (e + j < a.size) {
            bits |= (v > 0.0F ? 1U : 0U) << ((e + j) % 32U);
            include(keys, v);
          }
          c = c + 1 == channels ? 0 : c + 1;
        }
        store_quad(f.z, e, a.size, z);
      }
      if (f.mask_bits == nullptr) continue;
      for (int m = 1; m < 8; m *= 2) bits |= shuffle_xor(kAllLanes, bits, m);
      if (lane_index() % 8 == 0 && e < a.size) global_store(f.mask_bits + e / 32U, bits);
    }
    if (f.range == nullptr) return;
    merge_range(keys, &a.scratch->lo, &a.scratch->hi);
    if (!last_block(&a.scratch->ticket, shared_memory<std::uint32_t>(0)) || thread_index() != 0) return;
    *f.range = range_of_keys({atomic_load(&a.scratch->lo), atomic_load(&a.scratch->hi)});
    global_store(&a.scratch->lo, INT32_MAX);
    global_store(&a.scratch->hi, INT32_MIN);
  }
};

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
  if (join.mask_y != nullptr) return norm_apply(global_load(join.mask_y + e), join.mask_norm[c]) > 0.0F;
  return true;
}

/// Addends of the sums of one norm.
struct JoinGrid {
  float mean = 0.0F, to_u = 0.0F, to_ut = 0.0F;
};
BITCYCLE_DEVICE JoinGrid join_grid(const GradientJoin::Norm& norm, std::uint32_t c) {
  return {norm.channels[c].mean, power_of_two(norm.sums[c].exponent_u), power_of_two(norm.sums[c].exponent_ut)};
}

/// Sums of a channel in shared memory where they fit, else in their place.
constexpr std::uint32_t kMostSharedChannels = 1024;

/// Joins a first contribution that is a tensor, or a pool's gradient, dpooled / positions.
struct JoinKernel {
  static constexpr const char* kName = "join gradients";
  static constexpr int kThreads = 256;
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
  BITCYCLE_DEVICE static void run(const Args& a) {
    const GradientJoin& join = a.join;
    auto* sums = shared_memory<std::int64_t>(0);  // (channels, 2 norms, 2 sums)
    const bool in_shared = a.channels <= kMostSharedChannels && a.joins;
    if (in_shared) {
      for (auto i = static_cast<std::uint32_t>(thread_index()); i < 4 * a.channels;
           i += static_cast<std::uint32_t>(block_threads())) {
        shared_store(sums + i, std::int64_t{0});
      }
      sync_threads();
    }
    std::int32_t largest = 0;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad u{};
      if (a.first != nullptr) {
        u = load_quad(a.first, e, a.size);
      } else {
        for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
          const std::uint32_t image = (e + j) / (a.positions * a.channels);
          u.v[j] = global_load(a.dpooled + image * a.channels + (e + j) % a.channels) / static_cast<float>(a.positions);
        }
        if (a.dx != nullptr) store_quad(a.dx, e, a.size, u);
      }
      if (!a.joins) continue;
      Quad other{};
      if (join.other != nullptr) other = load_quad(join.other, e, a.size);
      Quad y[2];
      for (int i = 0; i < 2; ++i) {
        if (join.norm[i].sums != nullptr) y[i] = load_quad(join.norm[i].y, e, a.size);
      }
      std::uint32_t c = e % a.channels;
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        const float sum = join.other == nullptr ? u.v[j] : u.v[j] + other.v[j];
        const float value = join_passes(join, e + j, c) ? sum : 0.0F;
        u.v[j] = value;
        const std::int32_t key = magnitude_key(value);
        largest = key > largest ? key : largest;
        for (int i = 0; i < 2; ++i) {
          const GradientJoin::Norm& norm = join.norm[i];
          if (norm.sums == nullptr) continue;
          const JoinGrid grid = join_grid(norm, c);
          const float t = y[i].v[j] - grid.mean;
          std::int64_t* s_u = in_shared ? sums + 4 * c + 2 * i : &norm.sums[c].s_u;
          std::int64_t* s_ut = in_shared ? s_u + 1 : &norm.sums[c].s_ut;
          atomic_add(s_u, on_grid(value, grid.to_u));
          atomic_add(s_ut, on_grid(value * t, grid.to_ut));
        }
        c = c + 1 == a.channels ? 0 : c + 1;
      }
      store_quad(join.u, e, a.size, u);
    }
    if (!a.joins) return;
    if (join.u_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(join.u_bound));
    if (!in_shared) return;
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

/// max |x| of a tensor into one float, which must be +0 before.
struct MagnitudeKernel {
  static constexpr const char* kName = "largest magnitude";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    std::uint32_t size;
    float* largest;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    std::int32_t largest = 0;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      for (int j = 0; j < 4; ++j) {
        const std::int32_t key = magnitude_key(x.v[j]);
        largest = key > largest ? key : largest;
      }
    }
    merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.largest));
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

/// A thread a pixel.
struct LoadImagesKernel {
  static constexpr const char* kName = "load images";
  static constexpr int kThreads = 256;
  struct Args {
    ImageBatch batch;
    std::uint32_t pixels;  // n * h * w
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const ImageBatch& b = a.batch;
    const auto h = static_cast<std::int32_t>(b.h), w = static_cast<std::int32_t>(b.w);
    const auto plane = static_cast<std::uint32_t>(h * w);
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
        const int value = exists ? global_load(from + c) : 0;
        global_store(to + c, global_load(b.table + c * 256 + value));
      }
    }
  }
};

struct SgdKernel {
  static constexpr const char* kName = "sgd";
  static constexpr int kThreads = 256;
  struct Args {
    SgdUpdate sgd;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const SgdUpdate& s = a.sgd;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad g = load_quad(s.gradient, e, a.size);
      Quad m = load_quad(s.momentum_buffer, e, a.size), w = load_quad(s.parameter, e, a.size);
      for (int j = 0; j < 4; ++j) sgd_element(g.v[j], m.v[j], w.v[j], s.lr, s.momentum, s.weight_decay);
      store_quad(s.momentum_buffer, e, a.size, m);
      store_quad(s.parameter, e, a.size, w);
    }
  }
};

struct NonFiniteKernel {
  static constexpr const char* kName = "first non-finite";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    std::uint32_t size;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        if (is_finite_bits(x.v[j])) continue;
        atomic_min(&a.scratch->first, static_cast<std::int64_t>(e + j));
        return;
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
