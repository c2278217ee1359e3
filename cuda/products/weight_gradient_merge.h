// SPDX-License-Identifier: Apache-2.0
// The sums of the weight gradient's warps, added in shared memory, and those of its blocks, added in device memory.
#pragma once

#include "cuda/products/weight_gradient_shape.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

template <int LG, int LX, int MT>
struct WeightGradientMerge {
  using Shape = WeightGradientShape<LG, LX, MT>;
  using Args = typename Shape::Args;
  using Tile = typename Shape::Tile;
  using Own = typename Shape::Own;
  static constexpr int kThreads = Shape::kThreads, kGroups = Shape::kGroups, kOwnGroups = Shape::kOwnGroups,
                       kDiagonals = Shape::kDiagonals, kPitch = Shape::kPitch, kGroupWords = Shape::kGroupWords,
                       kSumWords = Shape::kSumWords, kRows = Shape::kRows;
  /// Tile and column in it of one of sixteen channels, as read_codes puts them.
  template <int L>
  BITCYCLE_DEVICE static int tile_of(int channel) {
    return L == 1 ? channel % 2 : channel / 8;
  }
  template <int L>
  BITCYCLE_DEVICE static int column_of(int channel) {
    return L == 1 ? channel / 2 : channel % 8;
  }

  /// Words of a register of a warp's sums: of eight gradients n, of half of the input channels, odd or even gradients.
  BITCYCLE_DEVICE static int slot(int n, int half, int odd) { return (4 * odd + 2 * n + half) * kPitch; }
  /// A warp's sums: put there by the first, added by the others.
  template <bool First>
  BITCYCLE_DEVICE static void merge(const Own& own, std::uint32_t* words, int side) {
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwnGroups; ++i) {
      if (i >= own.groups) break;
      BITCYCLE_UNROLL
      for (int d = 0; d < kDiagonals; ++d) {
        BITCYCLE_UNROLL
        for (int m = 0; m < MT; ++m) {
          std::uint32_t* to = words + ((d * MT + m) * kGroups + 2 * i + side) * kGroupWords + lane_index();
          BITCYCLE_UNROLL
          for (int n = 0; n < 2; ++n) {
            BITCYCLE_UNROLL
            for (int j = 0; j < 4; ++j) {
              const auto sum = static_cast<std::uint32_t>(own.sums[d][i][0][2 * m + n][j]);
              if constexpr (First) {
                shared_store(to + slot(n, j / 2, j % 2), sum);
              } else {
                atomic_add(to + slot(n, j / 2, j % 2), sum);
              }
            }
          }
        }
      }
    }
  }
  BITCYCLE_DEVICE static void merge_columns(const Own& own, std::uint32_t* words, int side) {
    if (lane_index() % 4 != 0) return;
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwnGroups; ++i) {
      if (i >= own.taps) break;
      BITCYCLE_UNROLL
      for (int limb = 0; limb < LX; ++limb) {
        std::uint32_t* to = words + ((2 * i + side) * LX + limb) * 16 + lane_index() / 4;
        atomic_add(to, static_cast<std::uint32_t>(own.columns[i][limb][0][0][0]));
        atomic_add(to + 8, static_cast<std::uint32_t>(own.columns[i][limb][0][0][2]));
      }
    }
  }

  /// A sum of the block in shared memory, of all its limbs; that of a column's codes.
  template <typename Sum>
  BITCYCLE_DEVICE static Sum sum_at(const std::uint32_t* from) {
    Sum sum = 0;
    BITCYCLE_UNROLL
    for (int d = 0; d < kDiagonals; ++d) {
      sum = static_cast<Sum>(sum + (static_cast<Sum>(shared_load(from + d * MT * kGroups * kGroupWords)) << (8 * d)));
    }
    return sum;
  }
  template <typename Sum>
  BITCYCLE_DEVICE static Sum column_sum_at(const std::uint32_t* words, int group, int column) {
    Sum sum = 0;
    BITCYCLE_UNROLL
    for (int limb = 0; limb < LX; ++limb) {  // rows of tensor cores are columns of read_codes, tile by tile
      const int word = (group * LX + limb) * 16 + tile_of<LX>(column) * 8 + column_of<LX>(column);
      sum = static_cast<Sum>(sum + (static_cast<Sum>(shared_load(words + kSumWords + word)) << (8 * limb)));
    }
    return sum;
  }
  /// Words of a thread's first row: of a column of x or, one byte each, of existence. Its other rows are eight apart:
  /// two lanes on or, of two limbs, in the other tile.
  struct ThreadWords {
    const std::uint32_t *of_x, *of_existence;
    BITCYCLE_DEVICE ThreadWords(const std::uint32_t* words, int row, int column) {
      const int gradient = LG == 1 ? row / 2 : row;
      const std::uint32_t* first = words + slot(LG == 1 ? row % 2 : 0, 0, gradient % 2) + gradient / 2;
      of_x = first + slot(0, tile_of<LX>(column), 0) + column_of<LX>(column) * 4;
      of_existence = first + slot(0, tile_of<1>(column), 0) + column_of<1>(column) * 4;
    }
    BITCYCLE_DEVICE static int offset(int k) {
      return k / 2 * kGroups * kGroupWords + k % 2 * (LG == 1 ? 2 : slot(1, 0, 0));
    }
  };

  /// The block's sums to all blocks': a thread has a column and two rows of every group, neighbouring threads
  /// neighbouring columns.
  template <typename Sum>
  BITCYCLE_DEVICE static void add_to_grid(const Args& a, const std::uint32_t* words, Sum* sums) {
    const Tile tile = shared_load(shared_memory<Tile>(0));  // not kept in registers
    const int taps = a.s.taps(), regular = taps * a.s.c, columns = regular + taps;
    const int group_step = a.slices > 1 ? 16 : a.s.c;  // columns from a group's to the next one's
    const int column = thread_index() % 16, row = thread_index() / 16;
    const ThreadWords of(words, row, column);
    Sum* to = sums + static_cast<std::int64_t>(tile.row + row) * columns;
    static_assert(kThreads == 8 * 16);
    BITCYCLE_UNROLL
    for (int k = 0; k < kRows / 8; ++k, to += 8 * columns) {
      if (tile.row + row + 8 * k >= a.s.o) break;
      const int offset = of.offset(k);
      if (tile.column + column < a.s.c) {
        Sum* at = to + tile.group * a.s.c + tile.column + column;
        BITCYCLE_UNROLL
        for (int i = 0; i < kGroups; ++i, at += group_step) {
          if (i >= tile.taps) break;
          atomic_add(at, sum_at<Sum>(of.of_x + offset + i * kGroupWords));
        }
      }
      BITCYCLE_UNROLL_BY(1)
      for (int i = tile.taps; i < tile.groups; ++i) {
        const int tap = 16 * (tile.group + i - a.regular_groups()) + column;
        if (tap < taps) atomic_add(to + regular + tap, sum_at<Sum>(of.of_existence + offset + i * kGroupWords));
      }
    }
    if (!tile.sums_columns(a.s) || tile.column + column >= a.s.c) return;
    for (int group = thread_index() / 16; group < tile.taps; group += kThreads / 16) {
      atomic_add(sums + static_cast<std::int64_t>(a.s.o) * columns + tile.group * a.s.c + group * group_step +
                     tile.column + column,
                 column_sum_at<Sum>(words, group, column));
    }
  }

  /// The same of a convolution with groups: a block's channels that are not of one group have no sums. The sums of a
  /// group's input codes are those of the block with its first output channel.
  BITCYCLE_DEVICE static void add_groups_to_grid(const Args& a, const std::uint32_t* words) {
    if (a.sums.narrow != 0) {
      add_groups(a, words, reinterpret_cast<std::uint32_t*>(a.sums.words));
    } else {
      add_groups(a, words, a.sums.words);
    }
  }
  template <typename Sum>
  BITCYCLE_DEVICE_CALL static void add_groups(const Args& a, const std::uint32_t* words, Sum* sums) {
    const Tile tile = shared_load(shared_memory<Tile>(0));
    const int taps = a.s.taps(), cpg = a.s.c_per_group(), opg = a.s.o_per_group();
    const int regular = taps * cpg, columns = regular + taps;
    const int column = thread_index() % 16, row = thread_index() / 16;
    const ThreadWords of(words, row, column);
    const auto tap_of = [&](int i) { return a.slices > 1 ? 0 : tile.group + i; };
    const auto channel_of = [&](int i) { return tile.column + column + (a.slices > 1 ? 16 * (tile.group + i) : 0); };
    BITCYCLE_UNROLL_BY(1)
    for (int k = 0; k < kRows / 8; ++k) {
      const int o = tile.row + row + 8 * k, offset = of.offset(k);
      if (o >= a.s.o) break;
      Sum* to = sums + static_cast<std::int64_t>(o) * columns;
      const int first = o / opg * cpg;
      BITCYCLE_UNROLL_BY(1)
      for (int i = 0; i < tile.taps; ++i) {
        const int in_group = channel_of(i) - first;
        if (in_group < 0 || in_group >= cpg) continue;
        atomic_add(to + tap_of(i) * cpg + in_group, sum_at<Sum>(of.of_x + offset + i * kGroupWords));
      }
      BITCYCLE_UNROLL_BY(1)
      for (int i = tile.taps; i < tile.groups; ++i) {
        const int tap = 16 * (tile.group + i - a.regular_groups()) + column;
        if (tap < taps) atomic_add(to + regular + tap, sum_at<Sum>(of.of_existence + offset + i * kGroupWords));
      }
    }
    Sum* of_codes = sums + static_cast<std::int64_t>(a.s.o) * columns;
    for (int i = thread_index() / 16; i < tile.taps; i += kThreads / 16) {
      const int channel = channel_of(i), first_output = channel / cpg * opg;
      if (channel >= a.s.c || first_output < tile.row || first_output >= tile.row + kRows) continue;
      atomic_add(of_codes + tap_of(i) * a.s.c + channel, column_sum_at<Sum>(words, i, column));
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
