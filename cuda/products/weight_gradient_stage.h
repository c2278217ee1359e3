// SPDX-License-Identifier: Apache-2.0
// Chunks of the weight gradient's operands on their way to shared memory.
#pragma once

#include "cuda/products/weight_gradient_shape.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

template <int LG, int LX, int MT>
struct WeightGradientStage {
  using Shape = WeightGradientShape<LG, LX, MT>;
  using Args = typename Shape::Args;
  using Tile = typename Shape::Tile;
  using Record = typename Shape::Record;
  using PositionItem = typename Shape::PositionItem;
  static constexpr int kThreads = Shape::kThreads;

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
    const auto* record = shared_memory<Record>(Shape::kRecords) + i;
    const auto* words = reinterpret_cast<const Word4*>(record);
    const Word4 low = shared_load(words);
    Record r;
    memcpy(&r, &low, sizeof low);
    if (!a.exact || existence) {
      const Word4 high = shared_load(words + 1);
      memcpy(&r.n, &high, sizeof high);
    }
    auto* to = shared_memory<std::uint8_t>(Shape::kStageBegin + stage * tile.stage_bytes + 16 * thread_index());
    const auto pixel_exists = [&](const PatchItem& item) {
      return static_cast<std::uint32_t>(r.in_h + item.row()) < static_cast<std::uint32_t>(t.in_h) &&
             static_cast<std::uint32_t>(r.in_w + item.column()) < static_cast<std::uint32_t>(t.in_w) &&
             (a.exact || r.n + item.image() < t.n);
    };
    if (a.slices == 1) {
      BITCYCLE_UNROLL
      for (int k = 0; k < Shape::kItems; ++k) {
        if (thread_index() + k * kThreads >= a.pixels) break;
        const PatchItem item =
            shared_load(shared_memory<PatchItem>(Shape::kPixelItems) + thread_index() + k * kThreads);
        copy_codes<LX, Segments>(to + k * 16 * kThreads, 16 * a.pitch, a.x,
                                 r.pixel + static_cast<std::uint32_t>(item.distance), a.s.c - tile.column,
                                 pixel_exists(item));
      }
    } else {  // neighbouring threads copy neighbouring slices of a pixel
      const int slice = thread_index() % a.slices, step = kThreads / a.slices;
      auto* plane = to - 16 * thread_index() + 16 * LX * slice * a.pitch;
      const std::uint32_t first = r.pixel + static_cast<std::uint32_t>(16 * LX * slice);
      BITCYCLE_UNROLL_BY(2)
      for (int pixel = thread_index() / a.slices; pixel < a.pixels; pixel += step) {
        const PatchItem item = shared_load(shared_memory<PatchItem>(Shape::kPixelItems) + pixel);
        copy_codes<LX, Segments>(plane + 16 * pixel, 16 * a.pitch, a.x,
                                 first + static_cast<std::uint32_t>(item.distance), 16, pixel_exists(item));
      }
    }
    BITCYCLE_UNROLL
    for (int k = 0; k < Shape::kMostPositions / kThreads; ++k, to += 16 * kThreads) {
      const int position = thread_index() + k * kThreads;
      if (position >= a.positions) break;
      const PositionItem item = shared_load(shared_memory<PositionItem>(Shape::kPositionItems) + position);
      const bool exists = a.exact || Shape::position_exists(t, r, PatchItem{item.position, 0});
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
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
