// SPDX-License-Identifier: Apache-2.0
// The weight gradient on tensor cores: rows are output channels, columns taps and input channels, the reduction over
// positions is split over warps and blocks and added with integer atomics.
#pragma once

#include "cuda/products/weight_gradient_merge.h"
#include "cuda/products/weight_gradient_stage.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Tensor cores want positions innermost, and shared memory has channels innermost: ldmatrix reads pairs of bytes
/// across, and two byte permutations a pair of words put what belongs to one channel together. The positions that a
/// word then holds are not neighbours, but the same ones in both operands, and a sum has no order.
template <int LG, int LX, int MT>
struct WeightGradientProductKernel : WeightGradientShape<LG, LX, MT> {
  static constexpr const char* kName = "convolution weight gradient";
  using Shape = WeightGradientShape<LG, LX, MT>;
  using Stage = WeightGradientStage<LG, LX, MT>;
  using Merge = WeightGradientMerge<LG, LX, MT>;
  using Args = typename Shape::Args;
  using Tile = typename Shape::Tile;
  using Record = typename Shape::Record;
  using PositionItem = typename Shape::PositionItem;
  using Own = typename Shape::Own;
  using Shape::kColumnWords;
  using Shape::kDiagonals;
  using Shape::kMostPart;
  using Shape::kMostPositions;
  using Shape::kOwnGroups;
  using Shape::kPixelItems;
  using Shape::kPositionItems;
  using Shape::kRecords;
  using Shape::kStageBegin;
  using Shape::kStages;
  using Shape::kSteps;
  using Shape::kSumWords;
  using Shape::kThreads;

  /// Codes of sixteen channels at 32 positions, whose lanes give each one's 16 bytes: words[limb][tile][half] has
  /// positions 2 j, 2 j + 1, 2 j + 8, 2 j + 9 of a half (j = lane mod 4) of channel 2 (lane / 4) + tile, of two limbs
  /// of channel lane / 4 + 8 tile.
  template <int L>
  BITCYCLE_DEVICE static void read_codes(std::uint32_t (&words)[L][2][2], const std::uint8_t* at, int plane_bytes) {
    BITCYCLE_UNROLL
    for (int i = 0; i < L; ++i) {
      std::uint32_t r[4];
      load_matrices_transposed(r, at + i * plane_bytes);
      BITCYCLE_UNROLL
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t low = permute_bytes(r[2 * half], r[2 * half + 1], 0x6420U);
        const std::uint32_t high = permute_bytes(r[2 * half], r[2 * half + 1], 0x7531U);
        if constexpr (L == 1) {  // bytes of a pair: two channels
          words[0][0][half] = low;
          words[0][1][half] = high;
        } else {  // two limbs
          words[0][i][half] = low;
          words[1][i][half] = high;
        }
      }
    }
  }
  /// Bytes that are 1 where a lane's positions of a half exist, as read_codes orders them.
  BITCYCLE_DEVICE static std::uint32_t ones_of(std::uint32_t exists, int half) {
    const std::uint32_t m = exists >> (16 * half + 2 * (lane_index() % 4));
    return (m & 1U) | (m >> 1 & 1U) << 8 | (m >> 8 & 1U) << 16 | (m >> 9 & 1U) << 24;
  }

  /// 32 positions. Full: the warp has all of its groups; Sums: the columns' own sums, too, of positions that are 1 in
  /// `ones`.
  template <bool Full, bool Sums>
  BITCYCLE_DEVICE static void multiply(const Args& a, Own& own, const std::uint8_t* bytes, const std::uint8_t* g,
                                       int step, const std::uint32_t (&ones)[1][2]) {
    std::uint32_t gradients[LG][2 * MT][2];
    BITCYCLE_UNROLL
    for (int m = 0; m < MT; ++m) {
      std::uint32_t words[LG][2][2];
      read_codes<LG>(words, g + 16 * m * LG * a.positions, 16 * a.positions);
      BITCYCLE_UNROLL
      for (int limb = 0; limb < LG; ++limb) {
        BITCYCLE_UNROLL
        for (int j = 0; j < 4; ++j) gradients[limb][2 * m + j / 2][j % 2] = words[limb][j / 2][j % 2];
      }
    }
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwnGroups; ++i) {
      if (!Full && i >= own.groups) break;
      if (LX == 2 && i >= own.taps) {  // existence has one limb
        std::uint32_t words[1][2][2];
        read_codes<1>(words, bytes + own.at[step][i], 0);
        const std::uint32_t taps[1][4] = {{words[0][0][0], words[0][1][0], words[0][0][1], words[0][1][1]}};
        BITCYCLE_UNROLL
        for (int j = 0; j < LG; ++j) multiply_tiles<false>(own.sums[j][i], taps, gradients[j]);
        continue;
      }
      std::uint32_t words[LX][2][2];
      read_codes<LX>(words, bytes + own.at[step][i], 16 * a.pitch);
      BITCYCLE_UNROLL
      for (int limb = 0; limb < LX; ++limb) {
        const std::uint32_t channels[1][4] = {
            {words[limb][0][0], words[limb][1][0], words[limb][0][1], words[limb][1][1]}};
        BITCYCLE_UNROLL
        for (int j = 0; j < LG; ++j) multiply_tiles<false>(own.sums[j + limb][i], channels, gradients[j]);
        if constexpr (Sums) multiply_tiles<false>(own.columns[i][limb], channels, ones);
      }
    }
  }

  BITCYCLE_DEVICE static void run(const Args& a) {
    const Tiling& t = a.tiling;
    const int lane = lane_index(), warp = thread_index() / 32, side = warp % 2, half = warp / 2;
    const Tile tile = Shape::tile_at(a, block_index());
    const int begin = tile.part * a.part, chunks = t.chunks - begin < a.part ? t.chunks - begin : a.part;
    if (tile.groups <= 0 || chunks <= 0) return;
    if (thread_index() == 0) shared_store(shared_memory<Tile>(0), tile);
    static_assert(sizeof(Tile) <= kRecords);
    if (thread_index() < chunks) {
      shared_store(shared_memory<Record>(kRecords) + thread_index(), Shape::record_of(a, begin + thread_index()));
    }
    // A chunk's pixels, their distances in bytes, with the tile's first channel.
    BITCYCLE_UNROLL_BY(1)
    for (int i = thread_index(); i < a.pixels; i += kThreads) {
      PatchItem item = pixel_item(t, i);
      item.distance = static_cast<std::int32_t>(Shape::bytes_of(item.distance, a.s.c * LX) +
                                                static_cast<std::uint32_t>(tile.column * LX));
      shared_store(shared_memory<PatchItem>(kPixelItems) + i, item);
    }
    BITCYCLE_UNROLL
    for (int k = 0; k < kMostPositions / kThreads; ++k) {
      const int i = thread_index() + k * kThreads;
      if (i >= a.positions) break;
      shared_store(shared_memory<PositionItem>(kPositionItems) + i, Shape::position_item_of(a, tile, i));
    }
    sync_threads();
    const bool existence = tile.groups > tile.taps;
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < chunks) Stage::load_stage(a, tile, i, i, existence);
      async_commit();
    }

    Own own{};
    own.groups = (tile.groups - side + 1) / 2;
    own.taps = (tile.taps - side + 1) / 2;
    BITCYCLE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const int position = (half * kSteps + step) * 32 + lane;
      const int pixel =
          position < a.positions ? shared_load(&shared_memory<PositionItem>(kPositionItems)[position].pixel) : 0;
      BITCYCLE_UNROLL
      for (int i = 0; i < kOwnGroups; ++i) {
        own.at[step][i] =
            (i < own.groups ? a.offsets[tile.group + 2 * i + side] : 0) + (i < own.taps ? pixel : 16 * position);
      }
    }
    int stage = 0, chunk = 0;
    do {
      async_wait<kStages - 2>();
      sync_threads();  // the stage is there for all, and all are done with the one that is filled next
      if (chunk + kStages - 1 < chunks) {
        Stage::load_stage(a, tile, chunk + kStages - 1, stage == 0 ? kStages - 1 : stage - 1,
                          existence && (!a.constant_existence || chunk == 0));
      }
      async_commit();
      const auto* bytes = shared_memory<std::uint8_t>(kStageBegin + stage * tile.stage_bytes);
      const auto* g = bytes + tile.g + 16 * (half * kSteps * 32 + lane);
      BITCYCLE_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        const int i = (half * kSteps + step) * 32;
        if (i >= a.positions) break;
        std::uint32_t ones[1][2] = {{0x01010101U, 0x01010101U}};
        if (!a.exact && tile.sums_columns(a.s)) {
          const Record r = shared_load(shared_memory<Record>(kRecords) + chunk);
          const std::uint32_t exists = ballot(
              kAllLanes,
              Shape::position_exists(
                  t, r, PatchItem{shared_load(&shared_memory<PositionItem>(kPositionItems)[i + lane].position), 0}));
          ones[0][0] = ones_of(exists, 0);
          ones[0][1] = ones_of(exists, 1);
        }
        if (LX == 2 || own.groups != kOwnGroups) {
          multiply<false, true>(a, own, bytes, g + 512 * step, step, ones);
        } else if (tile.sums_columns(a.s)) {
          multiply<true, true>(a, own, bytes, g + 512 * step, step, ones);
        } else {
          multiply<true, false>(a, own, bytes, g + 512 * step, step, ones);
        }
      }
      stage = stage == kStages - 1 ? 0 : stage + 1;
    } while (++chunk < chunks);

    // The halves' sums together, in shared memory, where the stages were.
    auto* words = shared_memory<std::uint32_t>(kStageBegin);
    sync_threads();
    for (int i = thread_index(); i < kColumnWords; i += kThreads) shared_store(words + kSumWords + i, 0U);
    if (half == 0) Merge::template merge<true>(own, words, side);
    sync_threads();
    if (half != 0) Merge::template merge<false>(own, words, side);
    if (tile.sums_columns(a.s)) Merge::merge_columns(own, words + kSumWords, side);
    sync_threads();
    if (a.s.groups != 1) {
      Merge::add_groups_to_grid(a, words);
    } else if (a.sums.narrow != 0) {
      Merge::add_to_grid(a, words, reinterpret_cast<std::uint32_t*>(a.sums.words));
    } else {
      Merge::add_to_grid(a, words, a.sums.words);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
