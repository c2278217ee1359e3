// SPDX-License-Identifier: Apache-2.0
// The weight gradient on tensor cores: rows are output channels, columns taps and input channels, the reduction over
// positions is split over warps and blocks and added with integer atomics.
#pragma once

#include "cuda/kernels/kernels_weights.h"
#include "cuda/products/patch.h"
#include "cuda/products/tile_product.h"
#include "cuda/products/weight_gradient_sums.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A block has 16 MT output channels, 16 input channels and ten groups of columns: a group is a tap, or sixteen columns
/// that are 1 where a tap exists, whose products are the sums of gradient codes that the offsets need. It goes through
/// chunks of positions, whose pixels it keeps in shared memory as they are in memory, channels innermost. Tensor cores
/// want positions innermost: ldmatrix reads pairs of bytes across, and two byte permutations a pair of words put what
/// belongs to one channel together. The positions that a word then holds are not neighbours, but the same ones in both
/// operands, and a sum has no order.
/// LG, LX: limbs of gradient and activation codes.
template <int LG, int LX, int MT>
struct WeightGradientProductKernel {
  static constexpr const char* kName = "convolution weight gradient";
  static constexpr int kThreads = 128, kMinBlocks = 2;
  static constexpr int kDiagonals = LG + LX - 1;  // sums of limbs of equal weight, 2^(8 d)
  static constexpr int kRows = 16 * MT, kColumns = 16;
  // Warps share a chunk two by two: every other group of columns, half of the positions, 32 at a time. Four warps and
  // no more, because much of a block's work is each warp's: finding its position, adding up its sums.
  static constexpr int kOwnGroups = 5, kGroups = 2 * kOwnGroups, kHalves = 2, kSteps = 4, kStages = 3;
  static constexpr int kMostGroups = StreamedRows::kMostTaps + StreamedRows::kMostTaps / 16;
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
    std::int32_t planes;             // of sixteen taps
    std::int32_t pixels, positions;  // of a chunk; positions in shared memory, a multiple of 32
    std::int32_t part;               // chunks of a block
    Divisor row_tiles, column_tiles, group_tiles;
    // Of groups in a stage: from a position's pixel or, existence, from the position.
    std::int32_t offsets[kMostGroups];
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
  /// Bytes of a stage: pixels, gradients, existence.
  static std::int64_t stage_bytes(std::int64_t pixels, std::int64_t positions, std::int64_t planes) {
    return 16 * (pixels * LX + positions * (LG * MT + planes));
  }
  static void set_offsets(Args& a) {
    const std::int32_t taps = a.s.kh * a.s.kw;
    for (std::int32_t i = 0; i < taps + a.planes; ++i) {
      a.offsets[i] = i < taps ? 16 * (i / a.s.kw * a.tiling.patch_w + i % a.s.kw)
                              : static_cast<std::int32_t>(stage_bytes(a.pixels, a.positions, i - taps));
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
    std::int32_t groups, taps;              // that it has; of them taps
    std::int32_t g, stage_bytes;            // of a stage: where gradients begin
    BITCYCLE_DEVICE bool sums_columns() const { return row == 0; }
  };
  BITCYCLE_DEVICE static Tile tile_at(const Args& a, int index) {
    Tile tile;
    int column = divide(index, a.row_tiles);
    tile.row = index * kRows;
    int group = divide(column, a.column_tiles);
    tile.column = column * kColumns;
    tile.part = divide(group, a.group_tiles);
    tile.group = group * kGroups;
    // Existence does not depend on the input channel: the first ones' blocks have it.
    const int taps = a.s.taps() - tile.group, groups = column == 0 ? taps + a.planes : taps;
    tile.groups = groups < kGroups ? groups : kGroups;
    tile.taps = taps < 0 ? 0 : (taps < kGroups ? taps : kGroups);
    tile.g = 16 * LX * a.pixels;
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

  /// Sixteen codes at `from`, of which `count` are there, to planes of 16 bytes: one by one. Rare and long.
  template <int L>
  BITCYCLE_DEVICE_CALL static void copy_singly(std::uint8_t* to, int plane_bytes, const void* from, int count) {
    std::uint32_t words[4 * L] = {};
    BITCYCLE_UNROLL
    for (int i = 0; i < 16; ++i) {
      if (i >= count) continue;
      const std::uint32_t code = load_code(from, L == 1 ? Container::kUint8 : Container::kUint16, i);
      words[i * L / 4] |= code << (i * L % 4 * 8);
    }
    BITCYCLE_UNROLL
    for (int half = 0; half < L; ++half) {
      shared_store(reinterpret_cast<Word4*>(to + half * plane_bytes),
                   Word4{{words[4 * half], words[4 * half + 1], words[4 * half + 2], words[4 * half + 3]}});
    }
  }
  /// Codes of a pixel's channels from a tile's first one on, of which `channels` are left.
  template <int L, bool Segments>
  BITCYCLE_DEVICE static void copy_codes(std::uint8_t* to, int plane_bytes, const void* codes, std::uint32_t at,
                                         int channels, bool exists) {
    const auto* from = static_cast<const std::uint8_t*>(codes) + (exists ? at : 0U);
    if constexpr (Segments) {
      BITCYCLE_UNROLL
      for (int half = 0; half < L; ++half) async_copy16(to + half * plane_bytes, from + 16 * half, exists);
    } else {
      copy_singly<L>(to, plane_bytes, from, !exists ? 0 : (channels < 16 ? channels : 16));
    }
  }

  /// Copies of chunk i of the block on their way to a stage.
  template <bool Segments>
  BITCYCLE_DEVICE static void load_stage(const Args& a, const Tile& tile, int i, int stage, bool existence) {
    const Tiling& t = a.tiling;
    const auto* record = shared_memory<Record>(kRecords) + i;
    const auto* words = reinterpret_cast<const Word4*>(record);
    const Word4 low = shared_load(words);
    Record r;
    memcpy(&r, &low, sizeof low);
    if (!a.exact || existence) {
      const Word4 high = shared_load(words + 1);
      memcpy(&r.n, &high, sizeof high);
    }
    auto* to = shared_memory<std::uint8_t>(kStageBegin + stage * tile.stage_bytes + 16 * thread_index());
    BITCYCLE_UNROLL
    for (int k = 0; k < kItems; ++k) {
      if (thread_index() + k * kThreads >= a.pixels) break;
      const PatchItem item = shared_load(shared_memory<PatchItem>(kPixelItems) + thread_index() + k * kThreads);
      bool exists = static_cast<std::uint32_t>(r.in_h + item.row()) < static_cast<std::uint32_t>(t.in_h) &&
                    static_cast<std::uint32_t>(r.in_w + item.column()) < static_cast<std::uint32_t>(t.in_w);
      if (!a.exact) exists = exists && r.n + item.image() < t.n;
      copy_codes<LX, Segments>(to + k * 16 * kThreads, 16 * a.pixels, a.x,
                               r.pixel + static_cast<std::uint32_t>(item.distance), a.s.c - tile.column, exists);
    }
    BITCYCLE_UNROLL
    for (int k = 0; k < kMostPositions / kThreads; ++k, to += 16 * kThreads) {
      const int position = thread_index() + k * kThreads;
      if (position >= a.positions) break;
      const PositionItem item = shared_load(shared_memory<PositionItem>(kPositionItems) + position);
      const bool exists = a.exact || position_exists(t, r, PatchItem{item.position, 0});
      BITCYCLE_UNROLL
      for (int m = 0; m < MT; ++m) {
        const int channels = a.s.o - tile.row - 16 * m;
        copy_codes<LG, Segments>(to + tile.g + 16 * m * LG * a.positions, 16 * a.positions, a.g,
                                 r.position + item.g + static_cast<std::uint32_t>(16 * m * LG), channels,
                                 exists && channels > 0);
      }
      if (!existence) continue;
      const std::uint32_t at = item.existence + r.existence;
      const int existence_at = tile.g + 16 * LG * MT * a.positions;
      async_copy16(to + existence_at, a.existence + (exists ? at : 0U), exists);
      if (a.planes == 1) continue;
      for (int plane = 1; plane < a.planes; ++plane) {
        async_copy16(to + existence_at + 16 * plane * a.positions,
                     a.existence + (exists ? std::int64_t{16} * plane * t.out_h * t.out_w + at : 0), exists);
      }
    }
  }
  BITCYCLE_DEVICE static void load_stage(const Args& a, const Tile& tile, int i, int stage, bool existence) {
    if (a.segments) {
      load_stage<true>(a, tile, i, stage, existence);
    } else {
      load_stage<false>(a, tile, i, stage, existence);
    }
  }

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
  /// Tile and column in it of one of sixteen channels, as read_codes puts them.
  template <int L>
  BITCYCLE_DEVICE static int tile_of(int channel) {
    return L == 1 ? channel % 2 : channel / 8;
  }
  template <int L>
  BITCYCLE_DEVICE static int column_of(int channel) {
    return L == 1 ? channel / 2 : channel % 8;
  }
  /// Bytes that are 1 where a lane's positions of a half exist, as read_codes orders them.
  BITCYCLE_DEVICE static std::uint32_t ones_of(std::uint32_t exists, int half) {
    const std::uint32_t m = exists >> (16 * half + 2 * (lane_index() % 4));
    return (m & 1U) | (m >> 1 & 1U) << 8 | (m >> 8 & 1U) << 16 | (m >> 9 & 1U) << 24;
  }

  /// A warp's sums, and where its lanes read.
  struct Own {
    std::int32_t sums[kDiagonals][kOwnGroups][1][2 * MT][4];  // input channels by output channels
    std::int32_t columns[kOwnGroups][LX][1][1][4];            // a channel a row, all columns alike
    std::int32_t at[kSteps][kOwnGroups];                      // of a stage
    std::int32_t groups, taps;
  };
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
      read_codes<LX>(words, bytes + own.at[step][i], 16 * a.pixels);
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
    const Tile tile = tile_at(a, block_index());
    const int begin = tile.part * a.part, chunks = t.chunks - begin < a.part ? t.chunks - begin : a.part;
    if (tile.groups <= 0 || chunks <= 0) return;
    if (thread_index() == 0) shared_store(shared_memory<Tile>(0), tile);
    static_assert(sizeof(Tile) <= kRecords);
    if (thread_index() < chunks) {
      shared_store(shared_memory<Record>(kRecords) + thread_index(), record_of(a, begin + thread_index()));
    }
    // A chunk's pixels, their distances in bytes, with the tile's first channel; a thread reads what it writes.
    BITCYCLE_UNROLL_BY(1)
    for (int i = thread_index(); i < a.pixels; i += kThreads) {
      PatchItem item = pixel_item(t, i);
      item.distance =
          static_cast<std::int32_t>(bytes_of(item.distance, a.s.c * LX) + static_cast<std::uint32_t>(tile.column * LX));
      shared_store(shared_memory<PatchItem>(kPixelItems) + i, item);
    }
    BITCYCLE_UNROLL
    for (int k = 0; k < kMostPositions / kThreads; ++k) {
      const int i = thread_index() + k * kThreads;
      if (i >= a.positions) break;
      shared_store(shared_memory<PositionItem>(kPositionItems) + i, position_item_of(a, tile, i));
    }
    sync_threads();
    const bool existence = tile.groups > tile.taps;
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < chunks) load_stage(a, tile, i, i, existence);
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
        load_stage(a, tile, chunk + kStages - 1, stage == 0 ? kStages - 1 : stage - 1,
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
        if (!a.exact && tile.sums_columns()) {
          const Record r = shared_load(shared_memory<Record>(kRecords) + chunk);
          const std::uint32_t exists = ballot(
              kAllLanes,
              position_exists(
                  t, r, PatchItem{shared_load(&shared_memory<PositionItem>(kPositionItems)[i + lane].position), 0}));
          ones[0][0] = ones_of(exists, 0);
          ones[0][1] = ones_of(exists, 1);
        }
        if (LX == 2 || own.groups != kOwnGroups) {
          multiply<false, true>(a, own, bytes, g + 512 * step, step, ones);
        } else if (tile.sums_columns()) {
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
    if (half == 0) merge<true>(own, words, side);
    sync_threads();
    if (half != 0) merge<false>(own, words, side);
    if (tile.sums_columns()) merge_columns(own, words + kSumWords, side);
    sync_threads();
    if (a.sums.narrow != 0) {
      add_to_grid(a, words, reinterpret_cast<std::uint32_t*>(a.sums.words));
    } else {
      add_to_grid(a, words, a.sums.words);
    }
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

  /// The block's sums to all blocks': a thread has a column and two rows of every group, neighbouring threads
  /// neighbouring columns.
  template <typename Sum>
  BITCYCLE_DEVICE static void add_to_grid(const Args& a, const std::uint32_t* words, Sum* sums) {
    const Tile tile = shared_load(shared_memory<Tile>(0));  // not kept in registers
    const int taps = a.s.taps(), regular = taps * a.s.c, columns = regular + taps;
    const int column = thread_index() % 16, row = thread_index() / 16;
    const auto sum_at = [&](const std::uint32_t* from) {
      Sum sum = 0;
      BITCYCLE_UNROLL
      for (int d = 0; d < kDiagonals; ++d) {
        sum = static_cast<Sum>(sum + (static_cast<Sum>(shared_load(from + d * MT * kGroups * kGroupWords)) << (8 * d)));
      }
      return sum;
    };
    // Words of the thread's first row: of a column of x or, one byte each, of existence. Its other rows are eight
    // apart: two lanes on or, of two limbs, in the other tile.
    const int gradient = LG == 1 ? row / 2 : row;
    const std::uint32_t* first = words + slot(LG == 1 ? row % 2 : 0, 0, gradient % 2) + gradient / 2;
    const std::uint32_t* of_x = first + slot(0, tile_of<LX>(column), 0) + column_of<LX>(column) * 4;
    const std::uint32_t* of_existence = first + slot(0, tile_of<1>(column), 0) + column_of<1>(column) * 4;
    Sum* to = sums + static_cast<std::int64_t>(tile.row + row) * columns;
    static_assert(kThreads == 8 * 16);
    BITCYCLE_UNROLL
    for (int k = 0; k < kRows / 8; ++k, to += 8 * columns) {
      if (tile.row + row + 8 * k >= a.s.o) break;
      const int offset = k / 2 * kGroups * kGroupWords + k % 2 * (LG == 1 ? 2 : slot(1, 0, 0));
      if (tile.column + column < a.s.c) {
        Sum* at = to + tile.group * a.s.c + tile.column + column;
        BITCYCLE_UNROLL
        for (int i = 0; i < kGroups; ++i, at += a.s.c) {
          if (i >= tile.taps) break;
          atomic_add(at, sum_at(of_x + offset + i * kGroupWords));
        }
      }
      BITCYCLE_UNROLL_BY(1)
      for (int i = tile.taps; i < tile.groups; ++i) {
        const int tap = 16 * (tile.group + i - taps) + column;
        if (tap < taps) atomic_add(to + regular + tap, sum_at(of_existence + offset + i * kGroupWords));
      }
    }
    if (!tile.sums_columns() || tile.column + column >= a.s.c) return;
    for (int group = thread_index() / 16; group < tile.taps; group += kThreads / 16) {
      Sum sum = 0;
      BITCYCLE_UNROLL
      for (int limb = 0; limb < LX; ++limb) {  // rows of tensor cores are columns of read_codes, tile by tile
        const int word = (group * LX + limb) * 16 + tile_of<LX>(column) * 8 + column_of<LX>(column);
        sum = static_cast<Sum>(sum + (static_cast<Sum>(shared_load(words + kSumWords + word)) << (8 * limb)));
      }
      atomic_add(
          sums + static_cast<std::int64_t>(a.s.o) * columns + (tile.group + group) * a.s.c + tile.column + column, sum);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
