// SPDX-License-Identifier: Apache-2.0
// How the weight gradient on tensor cores is cut: a block's tile of channels and taps, its chunks of positions, what
// lies where in shared memory, a warp's sums.
#pragma once

#include "cuda/kernels/kernels_weights.h"
#include "cuda/products/patch.h"
#include "cuda/products/tile_product.h"
#include "cuda/products/weight_gradient_sums.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A block has 16 MT output channels, and ten groups of sixteen columns: a group is a tap of sixteen input channels, or
/// sixteen columns that are 1 where a tap exists, whose products are the sums of gradient codes that the offsets need.
/// The channels of all taps are the same slice of sixteen, but a kernel of 1 x 1 has up to eight slices a block. It
/// goes through chunks of positions, whose pixels it keeps in shared memory slice by slice, channels innermost. LG, LX:
/// limbs of gradient and activation codes.
template <int LG, int LX, int MT>
struct WeightGradientShape {
  static constexpr int kThreads = 128, kMinBlocks = 2;
  static constexpr int kDiagonals = LG + LX - 1;  // sums of limbs of equal weight, 2^(8 d)
  static constexpr int kRows = 16 * MT, kColumns = 16;
  // Warps share a chunk two by two: every other group of columns, half of the positions, 32 at a time. Four warps and
  // no more, because much of a block's work is each warp's: finding its position, adding up its sums.
  static constexpr int kOwnGroups = 5, kGroups = 2 * kOwnGroups, kHalves = 2, kSteps = 4, kStages = 3;
  static constexpr int kMostGroups = StreamedRows::kMostTaps + StreamedRows::kMostTaps / 16;
  static constexpr int kMostSlices = 8;
  static constexpr int kItems = 6;  // pixels of a thread
  static constexpr int kMostPositions = 32 * kHalves * kSteps, kMostPixels = kItems * kThreads, kMostPart = 128;
  static_assert(kMostPart <= kThreads);
  // A block's sums are read as unsigned words: no diagonal has more than two products a position.
  static_assert(2 * std::int64_t{kMostPart} * kMostPositions * 255 * 255 <= UINT32_MAX);
  // Shared memory: the block's tile, its chunks, a chunk's positions and pixels, and the stages, later the warps' sums.
  static constexpr int kRecords = 32, kPositionItems = kRecords + 32 * kMostPart,
                       kPixelItems = kPositionItems + 16 * kMostPositions, kStageBegin = kPixelItems + 8 * kMostPixels;
  // Sums of a warp in shared memory: registers lie 33 words apart, so that neighbouring columns, which are in the same
  // lanes of four registers and eight lanes of four, lie in different banks.
  static constexpr int kPitch = 33, kGroupWords = 8 * kPitch;
  static constexpr int kSumWords = kDiagonals * MT * kGroups * kGroupWords, kColumnWords = kGroups * 16 * LX;
  static constexpr int kReduceBytes = 4 * (kSumWords + kColumnWords);

  struct Args {
    Geometry s;
    Tiling tiling;
    const void *g, *x;
    const std::uint8_t* existence;  // (planes, out_h * out_w, 16)
    WeightGradientSums sums;
    GroupTiles groups;               // with groups: output channels of a block, and the input channels that they meet
    std::int32_t slices;             // of sixteen input channels; more than one: of a kernel of 1 x 1
    std::int32_t planes;             // of sixteen taps
    std::int32_t pixels, positions;  // of a chunk; positions in shared memory, a multiple of 32
    std::int32_t pitch;              // pixels from one plane of sixteen bytes to the next: where slices are copied
                                     // together they lie in different banks
    std::int32_t part;               // chunks of a block
    Divisor row_tiles, column_tiles, group_tiles;
    // Of groups in a stage: from a position's pixel or, existence, from the position.
    std::int32_t offsets[kMostGroups];
    BITCYCLE_HD std::int32_t regular_groups() const { return s.kh * s.kw * slices; }
    BITCYCLE_HD std::int32_t stage_pixels() const { return pitch * slices; }
    bool exact;               // every position of every chunk exists
    bool segments;            // sixteen channels of a pixel are 16-byte segments of memory, in both operands
    bool constant_existence;  // every chunk has the same
  };
  /// Where a chunk begins: its pixels, which may lie before the image, and its positions.
  struct alignas(16) Record {
    std::uint32_t pixel, position;  // bytes
    std::int32_t in_h, in_w, n, h, w;
    std::uint32_t existence;  // bytes
  };
  /// Bytes of a stage: pixels of all slices, gradients, existence.
  static std::int64_t stage_bytes(std::int64_t pixels, std::int64_t positions, std::int64_t planes) {
    return 16 * (pixels * LX + positions * (LG * MT + planes));
  }
  static void set_offsets(Args& a) {
    const std::int32_t regular = a.regular_groups();
    for (std::int32_t i = 0; i < regular + a.planes; ++i) {
      if (i >= regular) {
        a.offsets[i] = static_cast<std::int32_t>(stage_bytes(a.stage_pixels(), a.positions, i - regular));
      } else if (a.slices > 1) {
        a.offsets[i] = 16 * LX * a.pitch * i;
      } else {
        a.offsets[i] = 16 * (i / a.s.kw * a.tiling.patch_w + i % a.s.kw);
      }
    }
  }
  /// Bytes of shared memory.
  static std::int64_t shared_bytes(std::int64_t pixels, std::int64_t positions, std::int64_t planes) {
    const std::int64_t stages = kStages * stage_bytes(pixels, positions, planes);
    return kStageBegin + (stages > kReduceBytes ? stages : kReduceBytes);
  }

  /// A position of any chunk: PatchItem::position; distances in bytes, with the tile's first channel; in a patch.
  struct alignas(16) PositionItem {
    std::uint32_t position, g, existence;
    std::int32_t pixel;
  };
  /// A block's part of the work.
  struct Tile {
    std::int32_t row, column, group, part;  // first output channel, first input channel, first group; of the chunks
    std::int32_t groups, taps;              // that it has; of them regular ones: taps, or slices of the one tap
    std::int32_t g, stage_bytes;            // of a stage: where gradients begin
    /// Sums of input codes are made once: by the first output channels' blocks; with groups by those of a group's first
    /// one, which every block looks for (weight_gradient_merge.h).
    BITCYCLE_DEVICE bool sums_columns(const Geometry& s) const { return row == 0 || s.groups != 1; }
  };
  BITCYCLE_DEVICE static Tile tile_at(const Args& a, int index) {
    Tile tile;
    int column = divide(index, a.row_tiles);
    tile.row = index * kRows;
    int group = divide(column, a.column_tiles);
    tile.column = column * kColumns * a.slices;
    if (a.s.groups != 1) tile.column += a.groups.first_channel(index);
    tile.part = divide(group, a.group_tiles);
    tile.group = group * kGroups;
    // Existence does not depend on the input channel: the first ones' blocks have it.
    const int taps = a.regular_groups() - tile.group, groups = column == 0 ? taps + a.planes : taps;
    tile.groups = groups < kGroups ? groups : kGroups;
    tile.taps = taps < 0 ? 0 : (taps < kGroups ? taps : kGroups);
    tile.g = 16 * LX * a.stage_pixels();
    tile.stage_bytes = tile.g + 16 * (LG * MT + a.planes) * a.positions;
    return tile;
  }
  /// Distances in bytes go up to 2^32, and below 0 before the image: modulo 2^32.
  BITCYCLE_DEVICE static std::uint32_t bytes_of(std::int32_t elements, std::int32_t each) {
    return static_cast<std::uint32_t>(elements) * static_cast<std::uint32_t>(each);
  }
  BITCYCLE_DEVICE static PositionItem position_item_of(const Args& a, const Tile& tile, int i) {
    const Tiling& t = a.tiling;
    const PatchItem item = position_item(t, i);
    return {item.position, bytes_of(item.distance, a.s.o * LG) + static_cast<std::uint32_t>(tile.row * LG),
            static_cast<std::uint32_t>(16 * (item.distance - item.image() * t.out_h * t.out_w)),
            i < t.positions() ? 16 * patch_pixel(t, item) : 0};
  }
  BITCYCLE_DEVICE static Record record_of(const Args& a, int index) {
    const Tiling& t = a.tiling;
    const Chunk chunk = chunk_at(t, index);
    Record r;
    r.n = chunk.n;
    r.h = chunk.h;
    r.w = chunk.w;
    r.in_h = chunk.h * t.stride - t.padding_h;
    r.in_w = chunk.w * t.stride - t.padding_w;
    r.pixel = bytes_of(first_pixel(t, chunk), a.s.c * LX);
    r.position = bytes_of(first_position(t, chunk), a.s.o * LG);
    r.existence = static_cast<std::uint32_t>(16 * (chunk.h * t.out_w + chunk.w));
    return r;
  }

  /// Whether a position exists in a chunk; those that fill up the last 32 do not.
  BITCYCLE_DEVICE static bool position_exists(const Tiling& t, const Record& r, const PatchItem& item) {
    return item.image() < t.images && r.n + item.image() < t.n && r.h + item.row() < t.out_h &&
           r.w + item.column() < t.out_w;
  }

  /// A warp's sums, and where its lanes read.
  struct Own {
    std::int32_t sums[kDiagonals][kOwnGroups][1][2 * MT][4];  // input channels by output channels
    std::int32_t columns[kOwnGroups][LX][1][1][4];            // a channel a row, all columns alike
    std::int32_t at[kSteps][kOwnGroups];                      // of a stage
    std::int32_t groups, taps;
  };
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
