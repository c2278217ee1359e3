// SPDX-License-Identifier: Apache-2.0
// Weights of matrices, which have long rows and columns: codes and sums of the forward pass by rows, those of the error
// pass on one grid by tiles that are turned in shared memory (docs/numerics.md, 2 and 5).
#pragma once

#include "cuda/kernels/kernels_weights.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// *sum, in shared memory and 0 before, becomes the sum over the block's threads, all of which call.
BITCYCLE_DEVICE void add_in_block(std::int64_t of_thread, std::int64_t* sum) {
  for (int m = 16; m > 0; m /= 2) of_thread += shuffle_xor(kAllLanes, of_thread, m);
  if (lane_index() == 0) atomic_add(sum, of_thread);
  sync_threads();
}

/// A block an output channel: range, affine, codes and their sum; the sums of the error pass are cleared.
struct QuantiseMatrixKernel {
  static constexpr const char* kName = "quantise matrix";
  static constexpr int kThreads = 128;
  struct Args {
    WeightsTable table;
  };
  struct Shared {
    std::int32_t lo, hi;
    std::int64_t sum;
    Affine affine;
  };
  static constexpr int kSharedBytes = sizeof(Shared);
  BITCYCLE_DEVICE static void run(const Args& args) {
    auto* shared = shared_memory<Shared>(0);
    const WeightsBlock block = global_load(args.table.blocks + block_index());
    const WeightsJob& a = args.table.jobs[block.job];
    const auto o = static_cast<int>(block.channel);
    const BitWidth width = a.width.get();
    const int depth = a.s.c;
    const float* master = a.master + static_cast<std::int64_t>(o) * depth;
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
      shared->sum = 0;
    }
    sync_threads();
    KeyRange keys;
    for (int k = thread_index(); k < depth; k += kThreads) include(keys, global_load(master + k));
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
    for (int c = o + a.s.o * thread_index(); c < a.s.c; c += a.s.o * kThreads) {
      global_store(a.error_tap_sums + c, std::int64_t{0});
    }
    sync_threads();
    const Affine affine = shared->affine;
    const Packed packed = a.packed;
    std::uint32_t* codes = a.codes + static_cast<std::int64_t>(o) * depth;
    double largest = 0.0;
    std::int64_t sum = 0;
    for (int k = thread_index(); k < depth; k += kThreads) {
      const std::uint32_t q = quantise(global_load(master + k), affine, width, 0.0F);
      global_store(codes + k, q);
      packed.put(o, k, q);
      sum += q;
      largest = larger(largest, fabs(dequantise(q, affine)));
    }
    for (int m = 16; m > 0; m /= 2) largest = larger(largest, shuffle_xor(kAllLanes, largest, m));
    if (lane_index() == 0) atomic_max(a.largest_value, bits_of_double(largest));
    add_in_block(sum, &shared->sum);
    if (thread_index() == 0) global_store(a.tap_sums + o, shared->sum);
  }
};

/// Codes of the error pass, the forward codes' values on one grid: a block a tile of 32 input by 64
/// output channels, read as it lies and turned in shared memory. A block's channel is the number of its tile.
struct QuantiseErrorTilesKernel {
  static constexpr const char* kName = "quantise error weights, tiles";
  static constexpr int kThreads = 128;
  static constexpr int kInputs = 32, kOutputs = 64, kPitch = kOutputs + 4, kMostLimbs = 3;
  struct Args {
    WeightsTable table;
  };
  struct Shared {
    std::int64_t sums[kThreads / 32][kInputs];
    std::uint8_t limbs[kMostLimbs][kInputs][kPitch];
  };
  static constexpr int kSharedBytes = sizeof(Shared);
  static constexpr int tiles(std::int32_t inputs, std::int32_t outputs) {
    return (inputs + kInputs - 1) / kInputs * ((outputs + kOutputs - 1) / kOutputs);
  }
  BITCYCLE_DEVICE static void run(const Args& args) {
    auto* shared = shared_memory<Shared>(0);
    const WeightsBlock block = global_load(args.table.blocks + block_index());
    const WeightsJob& a = args.table.jobs[block.job];
    const int input_tiles = (a.s.c + kInputs - 1) / kInputs;
    const int c0 = static_cast<int>(block.channel) % input_tiles * kInputs;
    const int o0 = static_cast<int>(block.channel) / input_tiles * kOutputs;
    const int lane = lane_index(), warp = thread_index() / 32, c = c0 + lane;
    Affine grid;
    grid.step = error_grid_step(double_of_bits(global_load(a.largest_value)), a.grid_bits);
    grid.max_code = static_cast<std::uint32_t>(error_grid_max(a.grid_bits));
    if (block.channel == 0 && thread_index() == 0) a.error_affine[0] = grid;
    const Packed packed = a.error_packed;
    std::int64_t sum = 0;
    for (int j = warp; j < kOutputs; j += kThreads / 32) {
      std::int32_t q = 0;
      if (o0 + j < a.s.o && c < a.s.c) {
        const std::int64_t e = std::int64_t{o0 + j} * a.s.c + c;
        q = error_grid_code(dequantise(global_load(a.codes + e), a.affine[o0 + j]), grid.step);
        global_store(a.error_codes + e, static_cast<std::uint32_t>(q));
      }
      sum += q;
      for (int limb = 0; limb < packed.limbs; ++limb) {
        shared_store(&shared->limbs[limb][lane][j],
                     static_cast<std::uint8_t>(static_cast<std::uint32_t>(q) >> (8 * limb)));
      }
    }
    shared_store(&shared->sums[warp][lane], sum);
    sync_threads();
    if (warp == 0 && c < a.s.c) {
      for (int w = 1; w < kThreads / 32; ++w) sum += shared_load(&shared->sums[w][lane]);
      atomic_add(a.error_tap_sums + c, sum);
    }
    // Rows of what is packed are multiples of 64 bytes, zeros behind the last output.
    for (int i = thread_index(); i < packed.limbs * kInputs * (kOutputs / 4); i += kThreads) {
      const int word = i % (kOutputs / 4), row = i / (kOutputs / 4) % kInputs, limb = i / (kOutputs / 4) / kInputs;
      if (c0 + row >= a.s.c) continue;
      const auto* from = reinterpret_cast<const std::uint32_t*>(shared->limbs[limb][row]) + word;
      auto* to =
          packed.bytes + (static_cast<std::int64_t>(limb) * packed.rows + c0 + row) * packed.depth + o0 + 4 * word;
      global_store(reinterpret_cast<std::uint32_t*>(to), shared_load(from));
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
