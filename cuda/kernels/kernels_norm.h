// SPDX-License-Identifier: Apache-2.0
// Batch norm: its preparation from statistics, applying it, the gradient behind it and that gradient's range.
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/activation.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// What dy of one channel is made with (sim/ops/norm.h, norm_backward).
struct alignas(16) GradientConstants {
  float mean, a, k, c;
};
BITCYCLE_DEVICE GradientConstants gradient_constants(const ConvGradient& g, std::uint32_t c) {
  const NormGradientChannel gradient = g.gradient[c];
  return {g.norm[c].mean, gradient.a, gradient.k, gradient.c};
}
/// dy of elements e..e+3 (sim/device/kernel_library.h, ConvGradient).
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
    LaunchWidth width;
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
    *a.affine = gradient_affine(range, a.width.get(), a.min_scale, a.zero_on_grid);
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

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
