// SPDX-License-Identifier: Apache-2.0
// Sums of gradients over rows on grids fixed beforehand (docs/numerics.md, 7.1), the norm of all gradients, and the
// optimisers that clip by it (9.3 to 9.5).
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/adamw.h"
#include "sim/ops/layer_norm.h"
#include "sim/ops/nag.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A bound in device memory, of either element type.
struct DeviceBound {
  const float* narrow = nullptr;
  const double* wide = nullptr;
  BITCYCLE_DEVICE double get() const {
    return narrow != nullptr ? static_cast<double>(global_load(narrow)) : global_load(wide);
  }
};

/// The exact largest |x|.
struct MagnitudeKernel {
  static constexpr const char* kName = "magnitude";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    std::uint32_t size;
    float* bound;
    std::int64_t* sum;  // cleared for who adds up next; may be null
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = sizeof(GridRange::Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    KeyRange keys;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      for (std::uint32_t j = 0; j < 4; ++j) include_key(keys, magnitude_key(x.v[j]));
    }
    Range range;
    if (!GridRange::finish(keys, a.scratch, shared_memory<GridRange::Shared>(0), &range)) return;
    *a.bound = range.hi;
    if (a.sum != nullptr) *a.sum = 0;
  }
};

/// A block takes 32 channels; a warp some of their rows, a lane a channel.
struct ChannelRows {
  static constexpr int kWarps = 32, kThreads = 32 * kWarps;
  std::uint32_t channel;
  std::int64_t first;
  BITCYCLE_DEVICE ChannelRows()
      : channel(static_cast<std::uint32_t>(block_index()) * 32U + static_cast<std::uint32_t>(lane_index())),
        first(thread_index() / 32) {}
  /// The sum over all warps, in those of warp 0. `shared`: kThreads of them.
  BITCYCLE_DEVICE static std::int64_t add_up(std::int64_t sum, std::int64_t* shared) {
    shared_store(shared + thread_index(), sum);
    sync_threads();
    if (thread_index() < 32) {
      for (int w = 1; w < kWarps; ++w) add_wrapping(sum, shared_load(shared + 32 * w + thread_index()));
    }
    sync_threads();
    return sum;
  }
};

struct BiasGradientKernel {
  static constexpr const char* kName = "bias gradient";
  static constexpr int kThreads = ChannelRows::kThreads;
  static constexpr int kSharedBytes = 8 * kThreads;
  struct Args {
    const float* dy;
    DeviceBound bound;
    float* dbias;
    std::int64_t rows;
    std::uint32_t channels;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const ChannelRows of;
    const int exponent = sum_exponent(a.bound.get(), static_cast<std::uint64_t>(a.rows));
    const float to_grid = power_of_two(exponent);
    std::int64_t sum = 0;
    if (of.channel < a.channels) {
      for (std::int64_t n = of.first; n < a.rows; n += ChannelRows::kWarps) {
        add_wrapping(sum, on_grid(global_load(a.dy + n * a.channels + of.channel), to_grid));
      }
    }
    sum = ChannelRows::add_up(sum, shared_memory<std::int64_t>(0));
    if (thread_index() < 32 && of.channel < a.channels) {
      global_store(a.dbias + of.channel, static_cast<float>(sum_value(sum, exponent)));
    }
  }
};

struct LayerNormParameterGradientKernel {
  static constexpr const char* kName = "layer norm parameter gradient";
  static constexpr int kThreads = ChannelRows::kThreads;
  static constexpr int kSharedBytes = 8 * kThreads;
  struct Args {
    const float* x;
    const RowStatistics* statistics;
    const float* dy;
    DeviceBound bound;
    float *dgamma, *dbeta;
    std::int64_t rows;
    std::uint32_t c;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const ChannelRows of;
    const double bound = a.bound.get();
    const auto count = static_cast<std::uint64_t>(a.rows);
    const int of_gamma = sum_exponent(layer_norm_bound(bound, a.c), count), of_beta = sum_exponent(bound, count);
    const float gamma_grid = power_of_two(of_gamma), beta_grid = power_of_two(of_beta);
    std::int64_t dgamma = 0, dbeta = 0;
    if (of.channel < a.c) {
      for (std::int64_t n = of.first; n < a.rows; n += ChannelRows::kWarps) {
        const std::int64_t e = n * a.c + of.channel;
        const float dy = global_load(a.dy + e);
        add_wrapping(dgamma, on_grid(dy * layer_norm_value(global_load(a.x + e), a.statistics[n]), gamma_grid));
        add_wrapping(dbeta, on_grid(dy, beta_grid));
      }
    }
    auto* shared = shared_memory<std::int64_t>(0);
    dgamma = ChannelRows::add_up(dgamma, shared);
    dbeta = ChannelRows::add_up(dbeta, shared);
    if (thread_index() >= 32 || of.channel >= a.c) return;
    global_store(a.dgamma + of.channel, static_cast<float>(sum_value(dgamma, of_gamma)));
    global_store(a.dbeta + of.channel, static_cast<float>(sum_value(dbeta, of_beta)));
  }
};

/// What the launches of a clipped step tell each other.
struct GradientNorm {
  float largest = 0.0F;
  float factor = 1.0F;
  std::int64_t sum = 0;
};

/// The norm of all gradients, which lie side by side with zeros between them, and the factor that clips it.
struct GradientNormKernel {
  static constexpr const char* kName = "gradient norm";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = 32;
  struct Args {
    const float* gradient;
    std::uint32_t size;
    std::uint64_t count;  // without the zeros between
    const std::int64_t* guard;
    double clip;
    GradientNorm* of;
    double* norm;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    struct Shared {
      std::int64_t sum;
      std::uint32_t last;
    };
    auto* shared = shared_memory<Shared>(0);
    if (thread_index() == 0) shared_store(&shared->sum, std::int64_t{0});
    sync_threads();
    const double largest = static_cast<double>(a.of->largest);
    const bool skips = (a.guard != nullptr && global_load(a.guard) >= 0) || !(largest > 0.0);
    // Gradients are scaled by a power of two first, so that neither their squares nor the grid leave the exponents.
    const int scale = -exponent_above(largest), exponent = sum_exponent(1.0, a.count);
    const double to_one = ldexp(1.0, scale), to_grid = ldexp(1.0, exponent);
    std::int64_t sum = 0;
    for (std::uint32_t e = 4 * first_element(); e < a.size && !skips; e += 4 * grid_threads()) {
      const Quad g = load_quad(a.gradient, e, a.size);
      for (int j = 0; j < 4; ++j) {
        const double scaled = static_cast<double>(g.v[j]) * to_one;
        add_wrapping(sum, static_cast<std::int64_t>(rint(scaled * scaled * to_grid)));
      }
    }
    atomic_add(&shared->sum, sum);
    sync_threads();
    if (thread_index() == 0 && !skips) atomic_add(&a.of->sum, shared_load(&shared->sum));
    if (!last_block(&a.scratch->arrivals, &shared->last) || thread_index() != 0) return;
    double norm = 0.0;
    if (!skips) norm = ldexp(sqrt(sum_value(atomic_load(&a.of->sum), exponent)), -scale);
    *a.norm = norm;
    const double ratio = a.clip / (norm + 1e-6);
    a.of->factor = a.clip > 0.0 ? static_cast<float>(ratio < 1.0 ? ratio : 1.0) : 1.0F;
  }
};

/// Parameters, gradients and what an optimiser keeps, each a list side by side with zeros between the tensors.
struct OptimiserLists {
  const float* gradient;
  float *parameter, *first, *second;  // momenta, squares
  std::uint32_t size;
  const float* rate;
  const std::int64_t* guard;    // nothing is done where it holds 0 or more; may be null
  const GradientNorm* clipped;  // null: gradients are taken as they are
  BITCYCLE_DEVICE bool skips() const { return guard != nullptr && global_load(guard) >= 0; }
  BITCYCLE_DEVICE float factor() const { return clipped == nullptr ? 1.0F : global_load(&clipped->factor); }
};

struct SgdClippedKernel {
  static constexpr const char* kName = "sgd, clipped";
  static constexpr int kThreads = 256;
  struct Args {
    OptimiserLists of;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (a.of.skips()) return;
    const float factor = a.of.factor(), rate = global_load(a.of.rate);
    for (std::uint32_t e = 4 * first_element(); e < a.of.size; e += 4 * grid_threads()) {
      const Quad g = load_quad(a.of.gradient, e, a.of.size);
      Quad w = load_quad(a.of.parameter, e, a.of.size);
      for (int j = 0; j < 4; ++j) {
        const float clipped = g.v[j] * factor, step = rate * clipped;
        w.v[j] = w.v[j] - step;
      }
      store_quad(a.of.parameter, e, a.of.size, w);
    }
  }
};

struct AdamwKernel {
  static constexpr const char* kName = "adamw";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = sizeof(AdamwStep);
  struct Args {
    OptimiserLists of;
    AdamwRule rule;
    const std::uint32_t* step;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (a.of.skips()) return;
    auto* shared = shared_memory<AdamwStep>(0);
    if (thread_index() == 0) {
      *shared = adamw_step(a.rule, global_load(a.of.rate), global_load(a.step), a.of.factor());
    }
    sync_threads();
    const AdamwStep step = *shared;
    const bool clips = a.of.clipped != nullptr;
    for (std::uint32_t e = 4 * first_element(); e < a.of.size; e += 4 * grid_threads()) {
      const Quad g = load_quad(a.of.gradient, e, a.of.size);
      Quad m = load_quad(a.of.first, e, a.of.size), v = load_quad(a.of.second, e, a.of.size);
      Quad p = load_quad(a.of.parameter, e, a.of.size);
      for (int j = 0; j < 4; ++j) adamw_element(g.v[j], m.v[j], v.v[j], p.v[j], step, clips);
      store_quad(a.of.first, e, a.of.size, m);
      store_quad(a.of.second, e, a.of.size, v);
      store_quad(a.of.parameter, e, a.of.size, p);
    }
  }
};

struct NagKernel {
  static constexpr const char* kName = "nag";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = 16;
  struct Args {
    OptimiserLists of;
    NagRule rule;
    float* rate_before;
    Scratch* scratch;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (a.of.skips()) return;  // all blocks, or none
    const NagStep step = nag_step(a.rule, global_load(a.of.rate), global_load(a.rate_before), a.of.factor());
    const bool clips = a.of.clipped != nullptr, decays = a.rule.weight_decay != 0.0;
    for (std::uint32_t e = 4 * first_element(); e < a.of.size; e += 4 * grid_threads()) {
      const Quad g = load_quad(a.of.gradient, e, a.of.size);
      Quad b = load_quad(a.of.first, e, a.of.size), w = load_quad(a.of.parameter, e, a.of.size);
      for (int j = 0; j < 4; ++j) nag_element(g.v[j], b.v[j], w.v[j], step, clips, decays);
      store_quad(a.of.first, e, a.of.size, b);
      store_quad(a.of.parameter, e, a.of.size, w);
    }
    if (last_block(&a.scratch->arrivals, shared_memory<std::uint32_t>(0)) && thread_index() == 0) {
      global_store(a.rate_before, step.rate);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
