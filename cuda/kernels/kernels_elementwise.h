// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels: ranges, scales, images, pools, the optimiser. A thread takes four neighbouring
// elements at a time, so that loads and stores are 16 bytes wide and a Philox block serves one thread.
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/order_free_sum.h"
#include "sim/number/philox.h"
#include "sim/ops/activation.h"
#include "sim/ops/augmentation.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"
#include "sim/ops/sgd.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// What the host says of a step, to device memory: the number that its random streams carry, and records (widths,
/// learning rate). Launches that read them there do not change.
struct StepStartKernel {
  static constexpr const char* kName = "step start";
  static constexpr int kThreads = 32;
  static constexpr std::uint32_t kMostBytes = 640;
  struct Args {
    std::uint32_t* step;  // null: not this launch's
    std::uint32_t value;
    std::uint32_t bytes;
    std::uint8_t* records;
    std::uint8_t data[kMostBytes];
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() == 0 && a.step != nullptr) global_store(a.step, a.value);
    for (auto i = static_cast<std::uint32_t>(thread_index()); i < a.bytes; i += kThreads) {
      global_store(a.records + i, a.data[i]);
    }
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
    const ActivationScale s = with_recorded_width(a.scale);
    if (s.training) {
      *s.affine = affine_of(*s.now, s.width, s.min_scale);
      update_running_range(s.running, *s.now);
    } else {
      *s.affine = running_affine(s.running, s.width, s.min_scale);
    }
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
      const ImageIndex index = global_load(b.indices + i);
      if (y == 0 && x == 0) global_store(b.labels + i, global_load(b.set_labels + index.image));
      Augmentation augmentation;
      if (b.augment) augmentation = augmentation_of(b.seed, index.epoch, index.image);
      const std::int32_t from_y = y + augmentation.shift_y;
      const std::int32_t from_x = (augmentation.flip ? w - 1 - x : x) + augmentation.shift_x;
      const bool exists = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      const std::uint8_t* from = b.pixels + ((static_cast<std::int64_t>(index.image) * h + from_y) * w + from_x) * 3;
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
BITCYCLE_DEVICE void report_non_finite(Scratch* scratch, std::int64_t* position, std::uint32_t* shared) {
  if (!last_block(&scratch->arrivals, shared) || thread_index() != 0) return;
  const std::int64_t first = atomic_load(&scratch->first);
  *position = first == INT64_MAX ? -1 : first;
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
    const float lr = s.lr_record == nullptr ? s.lr : global_load(s.lr_record);
    const bool skips = s.guard != nullptr && global_load(s.guard) >= 0;
    for (std::uint32_t e = 4 * first_element(); e < a.size && !skips; e += 4 * grid_threads()) {
      const Quad g = load_quad(s.gradient, e, a.size);
      Quad m = load_quad(s.momentum_buffer, e, a.size), w = load_quad(s.parameter, e, a.size);
      for (int j = 0; j < 4; ++j) sgd_element(g.v[j], m.v[j], w.v[j], lr, s.momentum, s.weight_decay);
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
    std::int64_t* position;
    Scratch* scratch;
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      note_non_finite(load_quad(a.x, e, a.size), e, a.size, a.scratch);
    }
    report_non_finite(a.scratch, a.position, shared_memory<std::uint32_t>(0));
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
