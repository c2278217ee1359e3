// SPDX-License-Identifier: Apache-2.0
// Weights of convolutions with groups, packed for tensor cores in tiles that several groups may fill (group_tiles.h).
#pragma once

#include "cuda/kernels/kernels_weights.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A block a row of a tile's weights, which is a column of its product: the codes of the column's group, 1 for a column
/// of sums, and zeros wherever a channel is not the group's.
struct PackGroupsKernel {
  static constexpr const char* kName = "pack groups";
  static constexpr int kThreads = 128;
  struct Args {
    WeightsTable table;
    bool error;
  };
  BITCYCLE_DEVICE static void run(const Args& args) {
    const WeightsBlock block = global_load(args.table.blocks + block_index());
    const WeightsJob& a = args.table.jobs[block.job];
    const GroupTiles t = args.error ? a.error_tiles : a.tiles;
    const Packed packed = args.error ? a.error_grouped : a.grouped;
    const auto row = static_cast<int>(block.channel);
    const int tile = row / t.rows, in_tile = row % t.rows, column = tile * t.width + in_tile, taps = a.s.taps();
    const bool is_result = in_tile < t.width && column < t.columns;
    const int sum = in_tile - (t.rows - GroupTiles::kSums);  // of the tile's groups
    const int group = is_result ? column / t.of_group : (t.sums && sum >= 0 ? t.first_group(tile) + sum : -1);
    const int first_channel = t.first_channel(tile);
    for (int k = 4 * thread_index(); k < packed.depth; k += 4 * block_threads()) {
      std::uint32_t codes[4] = {};
      for (int j = 0; j < 4; ++j) {
        const int tap = (k + j) / t.window, channel = first_channel + (k + j) % t.window;
        if (tap >= taps || channel / t.inputs != group) continue;
        codes[j] = is_result ? code_of(a, args.error, column, channel, tap) : 1U;
      }
      for (int limb = 0; limb < packed.limbs; ++limb) {
        std::uint32_t word = 0;
        for (int j = 0; j < 4; ++j) word |= (codes[j] >> (8 * limb) & 255U) << (8 * j);
        const std::int64_t at = (static_cast<std::int64_t>(limb) * packed.rows + row) * packed.depth + k;
        global_store(reinterpret_cast<std::uint32_t*>(packed.bytes + at), word);
      }
    }
  }
  BITCYCLE_DEVICE static std::uint32_t code_of(const WeightsJob& a, bool error, int column, int channel, int tap) {
    const int cpg = a.s.c_per_group(), o = error ? channel : column, i = error ? column : channel;
    const std::uint32_t* codes = error ? a.error_codes : a.codes;
    return global_load(codes + (static_cast<std::int64_t>(o) * a.s.taps() + tap) * cpg + i % cpg);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
