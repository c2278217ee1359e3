// SPDX-License-Identifier: Apache-2.0
// Weights at a step's width, packed for tensor cores (docs/numerics.md, 2 and 5): those of all layers in three
// launches, because each is small.
#pragma once

#include "cuda/kernels/group_tiles.h"
#include "cuda/kernels/kernels_common.h"
#include "sim/ops/bounds.h"
#include "sim/quantisers/signed_grid.h"

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

/// One operation's weights: what is quantised, and where everything goes. Device memory.
struct WeightsJob {
  const float* master = nullptr;
  LaunchWidth width;
  MinScale min_scale;
  Geometry s;
  std::uint32_t* codes = nullptr;
  Affine* affine = nullptr;
  float* magnitude = nullptr;             // (o + 1)
  std::int64_t* largest_value = nullptr;  // bits of a double
  std::int64_t* tap_sums = nullptr;       // (o, taps)
  Packed packed;
  std::uint32_t* step_bound = nullptr;  // (2), may be null
  // Of the error pass.
  bool shared_grid = true;
  std::int32_t grid_bits = 16;
  std::uint32_t* error_codes = nullptr;
  Affine* error_affine = nullptr;
  std::int64_t* error_tap_sums = nullptr;  // (c, taps)
  Packed error_packed;
  // With groups, in place of both: tiles that several groups may fill (kernels_grouped_weights.h).
  Packed grouped, error_grouped;
  GroupTiles tiles, error_tiles;
};
/// What a block works on: a channel of a job.
struct WeightsBlock {
  std::uint32_t job, channel;
};
struct WeightsTable {
  const WeightsJob* jobs;
  const WeightsBlock* blocks;
  std::uint32_t count;  // of jobs
};

/// What the blocks of all channels add to.
struct ResetWeightsKernel {
  static constexpr const char* kName = "reset weights";
  static constexpr int kThreads = 128;
  struct Args {
    WeightsTable table;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t i = first_element(); i < a.table.count; i += grid_threads()) {
      const WeightsJob& job = a.table.jobs[i];
      global_store(job.magnitude + job.s.o, 0.0F);
      global_store(job.largest_value, std::int64_t{0});
      if (job.step_bound == nullptr) continue;
      global_store(job.step_bound, 0U);
      global_store(job.step_bound + 1, 0U);
    }
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
BITCYCLE_DEVICE void note_step_bound(const Affine& affine, std::uint32_t* word) {
  if (affine.step_bound != 0) atomic_max(reinterpret_cast<std::int32_t*>(word), 1);
}

/// A block an output channel: range, affine, codes, their sums a tap.
struct QuantiseWeightsKernel {
  static constexpr const char* kName = "quantise weights";
  static constexpr int kThreads = 128;
  struct Args {
    WeightsTable table;
  };
  struct Shared {
    std::int32_t lo, hi;
    Affine affine;
  };
  static constexpr int kSharedBytes = sizeof(Shared);
  BITCYCLE_DEVICE static void run(const Args& args) {
    auto* shared = shared_memory<Shared>(0);
    const WeightsBlock block = global_load(args.table.blocks + block_index());
    const WeightsJob& a = args.table.jobs[block.job];
    const auto o = static_cast<int>(block.channel);
    const BitWidth width = a.width.get();
    const int taps = a.s.taps(), cpg = a.s.c_per_group(), depth = taps * cpg;
    const float* master = a.master + static_cast<std::int64_t>(o) * depth;
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
    }
    sync_threads();
    KeyRange keys;
    for (int k = thread_index(); k < depth; k += block_threads()) include(keys, global_load(master + k));
    keys = warp_range(keys);
    if (lane_index() == 0) {
      atomic_min(&shared->lo, keys.lo);
      atomic_max(&shared->hi, keys.hi);
    }
    sync_threads();
    if (thread_index() == 0) {
      const Range range = range_of_keys({shared->lo, shared->hi});
      const float magnitude = magnitude_of(range);
      shared->affine = affine_of(range, width, a.min_scale);
      a.affine[o] = shared->affine;
      a.magnitude[o] = magnitude;
      atomic_max(reinterpret_cast<std::int32_t*>(a.magnitude + a.s.o), magnitude_key(magnitude));
      if (a.step_bound != nullptr) note_step_bound(shared->affine, a.step_bound);
    }
    sync_threads();
    const Affine affine = shared->affine;
    const Packed packed = a.packed;
    std::uint32_t* codes = a.codes + static_cast<std::int64_t>(o) * depth;
    if (width.is_float32()) {
      for (int k = thread_index(); k < depth; k += block_threads()) {
        global_store(reinterpret_cast<float*>(codes) + k, global_load(master + k));
      }
      return;
    }
    double largest = 0.0;
    for (int k = thread_index(); k < depth; k += block_threads()) {
      const std::uint32_t q = quantise(global_load(master + k), affine, width, 0.0F);
      global_store(codes + k, q);
      packed.put(o, k, q);
      largest = larger(largest, fabs(dequantise(q, affine)));
    }
    for (int m = 16; m > 0; m /= 2) largest = larger(largest, shuffle_xor(kAllLanes, largest, m));
    if (lane_index() == 0) atomic_max(a.largest_value, bits_of_double(largest));
    sync_threads();
    for (int tap = thread_index(); tap < taps; tap += block_threads()) {
      std::int64_t sum = 0;
      for (int i = 0; i < cpg; ++i) sum += global_load(codes + tap * cpg + i);
      global_store(a.tap_sums + static_cast<std::int64_t>(o) * taps + tap, sum);
    }
  }
};

/// A block an input channel: codes of the error pass in either variant, transposed for its product.
struct QuantiseErrorWeightsKernel {
  static constexpr const char* kName = "quantise error weights";
  static constexpr int kThreads = 128;
  struct Args {
    WeightsTable table;
  };
  struct Shared {
    std::int32_t lo, hi;
    Affine affine;
  };
  static constexpr int kSharedBytes = sizeof(Shared);
  BITCYCLE_DEVICE static void run(const Args& args) {
    auto* shared = shared_memory<Shared>(0);
    const WeightsBlock block = global_load(args.table.blocks + block_index());
    const WeightsJob& a = args.table.jobs[block.job];
    const auto i = static_cast<int>(block.channel);
    const int cpg = a.s.c_per_group(), opg = a.s.o_per_group(), taps = a.s.taps();
    const BitWidth width = a.width.get();
    const int first_output = i / cpg * opg;
    const bool shared_grid = a.shared_grid;
    // Element j of the channel: tap j / opg, output j % opg of the group, as the product's reduction runs.
    const auto index = [&](int j) {
      return (static_cast<std::int64_t>(first_output + j % opg) * taps + j / opg) * cpg + i % cpg;
    };
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
    }
    sync_threads();
    if (!shared_grid) {
      KeyRange keys;
      for (int j = thread_index(); j < taps * opg; j += block_threads())
        include(keys, global_load(a.master + index(j)));
      keys = warp_range(keys);
      if (lane_index() == 0) {
        atomic_min(&shared->lo, keys.lo);
        atomic_max(&shared->hi, keys.hi);
      }
      sync_threads();
    }
    if (thread_index() == 0) {
      if (shared_grid) {
        Affine grid;
        grid.step = error_grid_step(double_of_bits(global_load(a.largest_value)), a.grid_bits);
        grid.max_code = static_cast<std::uint32_t>(error_grid_max(a.grid_bits));
        shared->affine = grid;
        if (i == 0) a.error_affine[0] = grid;
      } else {
        shared->affine = affine_of(range_of_keys({shared->lo, shared->hi}), width, a.min_scale);
        a.error_affine[i] = shared->affine;
        if (a.step_bound != nullptr) note_step_bound(shared->affine, a.step_bound + 1);
      }
    }
    sync_threads();
    const Affine affine = shared->affine;
    const Packed packed = a.error_packed;
    for (int j = thread_index(); j < taps * opg; j += block_threads()) {
      const std::int64_t e = index(j);
      const std::uint32_t q =
          shared_grid ? static_cast<std::uint32_t>(error_grid_code(
                            dequantise(global_load(a.codes + e), a.affine[first_output + j % opg]), affine.step))
                      : quantise(global_load(a.master + e), affine, width, 0.0F);
      global_store(a.error_codes + e, q);
      packed.put(i, j, q);
    }
    sync_threads();
    for (int tap = thread_index(); tap < taps; tap += block_threads()) {
      std::int64_t sum = 0;
      for (int j = tap * opg; j < (tap + 1) * opg; ++j) {
        const std::uint32_t q = global_load(a.error_codes + index(j));
        sum += shared_grid ? static_cast<std::int64_t>(static_cast<std::int32_t>(q)) : static_cast<std::int64_t>(q);
      }
      global_store(a.error_tap_sums + static_cast<std::int64_t>(i) * taps + tap, sum);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
