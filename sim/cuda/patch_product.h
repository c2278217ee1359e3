// SPDX-License-Identifier: Apache-2.0
// A product of bytes by patches (patch.h): a block keeps its columns' weights and two patches in shared memory, one
// that it multiplies while the next one arrives, and goes from chunk to chunk. Every pixel crosses memory about once,
// and the loop has no addresses to make but a sum.
#pragma once

#include "sim/cuda/patch.h"
#include "sim/cuda/tile_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Where the patches of a product come from, and where they lie in shared memory. The reduction runs over pieces: 16
/// channels (a slice) of a tap. Channels are a multiple of 16.
struct Patches {
  static constexpr std::int64_t kMostPixels = 4095;  // a row or a column has 12 bits in a PatchItem
  const std::uint8_t* codes;                         // (n, in_h, in_w, channels)
  Tiling tiling;
  ClassMap map;         // which taps exist at a position
  Divisor slices;       // of a pixel
  std::int32_t pitch;   // of a patch: planes (slice, pixel) of 16 bytes, pixels that are copied together lie in
                        // different banks
  std::int32_t pieces;  // kh * kw * slices
  std::int32_t kw, taps;
  bool transposed;  // error pass: the first tap is the last pixel
  // Bytes of shared memory, behind what the kernel has itself.
  std::int32_t weights, offsets, items, patches, end;

  BITCYCLE_HD std::int32_t steps() const { return (pieces + 1) / 2; }
  BITCYCLE_HD std::int32_t patch_bytes() const { return slices.value * pitch * 16; }

  static std::int32_t pitch_of(std::int64_t pixels, std::int64_t slices) {
    const std::int64_t phase = slices == 1 ? pixels % 8 : (slices == 2 ? 4 : (slices == 4 ? 2 : 1));
    return static_cast<std::int32_t>(pixels + (phase - pixels % 8 + 8) % 8);
  }
  /// Pixels that `bytes` of shared memory have room for.
  static std::int64_t pixels_that_fit(std::int64_t bytes, std::int64_t slices) {
    return std::min<std::int64_t>(kMostPixels, (bytes - 7 * 32 * slices - 16) / (32 * slices + 8));
  }
  /// Bytes of weights and of pieces' offsets.
  static std::int64_t fixed_bytes(std::int64_t pieces, std::int64_t limbs_of_columns) {
    return (pieces + 1) / 2 * 2 * (16 * limbs_of_columns + 4);
  }
  void lay_out(std::int64_t first, std::int64_t limbs_of_columns) {
    pitch = pitch_of(tiling.pixels(), slices.value);
    weights = static_cast<std::int32_t>(first);
    offsets = weights + steps() * 2 * 16 * static_cast<std::int32_t>(limbs_of_columns);
    items = offsets + steps() * 2 * 4;
    patches = (items + tiling.pixels() * 8 + 15) / 16 * 16;
    end = patches + 2 * patch_bytes();
  }
};

/// Four warps with 32 positions and 8 NT columns each. LB, SignedB: as in TileProduct.
template <int LB, bool SignedB, int NT>
struct PatchProduct : TileOfSums<1, LB, SignedB, NT> {
  using Sums = TileOfSums<1, LB, SignedB, NT>;
  using Source = Patches;
  using Sums::kColumns, Sums::kRows;
  static constexpr bool kSigned = SignedB;
  static constexpr int kTiles = NT, kLimbs = LB, kBlock = 128;
  static constexpr int kForwardBlocks = NT == 2 ? 4 : (NT == 4 ? 3 : 2), kErrorBlocks = NT == 2 && LB <= 2 ? 3 : 2;
  static constexpr int kRowSums = Sums::kSumBytes, kRowClass = kRowSums + kRows * 4;
  static constexpr int kRowPosition = kRowClass + kRows * 4, kEnd = kRowPosition + kRows * 4;
  static constexpr int kPieceRows = LB * kColumns;  // weights lie as (piece, limb, column) of 16 bytes

  const Patches& x;
  PatchItem own;   // the thread's position in a rectangle
  Chunk coming;    // whose patch is on its way
  int pixel[2];    // of the lane's rows for ldmatrix, in bytes of a plane
  int buffer = 0;  // of the coming patch

  BITCYCLE_DEVICE PatchProduct(const Patches& source, const Packed& packed, int first_column, int first_chunk)
      : x(source) {
    const Tiling& t = x.tiling;
    const int thread = thread_index(), lane = lane_index();
    for (int i = thread; i < 2 * x.steps() * kPieceRows; i += kBlock) {  // padded, so that every piece is there
      // Two pieces of a row are neighbours in memory.
      const int pair = i / 2 / kPieceRows, row = i / 2 % kPieceRows, piece = 2 * pair + i % 2;
      const int limb = row / kColumns, column = row % kColumns;
      async_copy16(shared_memory<std::uint8_t>(x.weights + (piece * kPieceRows + row) * 16),
                   packed.bytes + (limb * packed.rows + first_column + column) * packed.depth + piece * 16, true);
    }
    for (int piece = thread; piece < 2 * x.steps(); piece += kBlock) {
      // Behind the last piece any pixel will do: its weights are zeros, and sums of codes leave it out.
      int slice = piece < x.pieces ? piece : 0;
      int tap = divide(slice, x.slices);
      if (x.transposed) tap = x.taps - 1 - tap;
      const int offset = slice * x.pitch + tap / x.kw * t.patch_w + tap % x.kw;
      shared_store(shared_memory<std::int32_t>(x.offsets) + piece, offset * 16);
    }
    for (int i = thread; i < t.pixels(); i += kBlock) {
      shared_store(shared_memory<PatchItem>(x.items) + i, pixel_item(t, i));
    }
    own = position_item(t, thread);
    for (int m = 0; m < 2; ++m) {
      const int row = thread / 32 * 32 + m * 16 + lane % 16;
      pixel[m] = row < t.positions() ? patch_pixel(t, position_item(t, row)) * 16 : 0;
    }
    sync_threads();
    if (first_chunk < t.chunks) load(first_chunk);
    async_commit();
  }

  BITCYCLE_HD static int chunks(const Patches& x) { return x.tiling.chunks; }
  static int shared_bytes(const Patches& x, int) { return x.end; }
  BITCYCLE_DEVICE int position(int chunk, int r) const {
    return position_in(chunk_at(x.tiling, chunk), position_item(x.tiling, r));
  }
  BITCYCLE_DEVICE int position_in(const Chunk& chunk, const PatchItem& item) const {
    return position_exists(chunk, item) ? first_position(x.tiling, chunk) + item.distance : -1;
  }

  /// Neighbouring threads copy neighbouring slices.
  BITCYCLE_DEVICE void load(int chunk) {
    const Tiling& t = x.tiling;
    coming = chunk_at(t, chunk);
    const int first = first_pixel(t, coming), channels = x.slices.value * 16;
    auto* patch = shared_memory<std::uint8_t>(x.patches + buffer * x.patch_bytes());
    const int count = t.pixels() * x.slices.value;
    for (int i = thread_index(); i < count; i += kBlock) {
      int slice = i;
      const int at = divide(slice, x.slices);
      const PatchItem item = shared_load(shared_memory<PatchItem>(x.items) + at);
      const bool exists = pixel_exists(t, coming, item);
      async_copy16(patch + (slice * x.pitch + at) * 16,
                   x.codes + (exists ? (first + item.distance) * channels + slice * 16 : 0), exists);
    }
  }

  /// A chunk's sums into shared memory, where each warp finds its own; `next`: the block's next one.
  BITCYCLE_DEVICE void run(int, int next) {
    const int thread = thread_index(), lane = lane_index(), warp = thread / 32;
    const Chunk chunk = coming;
    const auto* patch = shared_memory<std::uint8_t>(x.patches + buffer * x.patch_bytes());
    async_wait<0>();
    sync_threads();  // the patch is there for all, and all are done with the other one
    buffer ^= 1;
    if (next < x.tiling.chunks) load(next);
    async_commit();
    const int row_position = position_in(chunk, own);
    const int row_class = row_position >= 0 ? x.map.of(chunk.h + own.row(), chunk.w + own.column()) : 0;

    std::int32_t sums[LB][2][NT][4] = {}, codes[2][1][4] = {};
    const auto* offsets = shared_memory<std::int32_t>(x.offsets) + lane / 16;
    const auto* weights =
        shared_memory<std::uint8_t>(x.weights) + (lane / 8 % 2 * kPieceRows + lane / 16 * 8 + lane % 8) * 16;
    const int steps = x.steps();
    for (int step = 0; step < steps; ++step) {
      const std::uint8_t* piece = patch + shared_load(offsets + 2 * step);
      std::uint32_t a[2][4];
      for (int m = 0; m < 2; ++m) load_matrices(a[m], piece + pixel[m]);
      for (int limb = 0; limb < LB; ++limb) {
        std::uint32_t b[NT][2];
        for (int n = 0; n < NT; n += 2) {
          std::uint32_t r[4];
          load_matrices(r, weights + (limb * kColumns + n * 8) * 16);
          b[n][0] = r[0];
          b[n][1] = r[1];
          b[n + 1][0] = r[2];
          b[n + 1][1] = r[3];
        }
        if (SignedB && limb == LB - 1) {
          multiply_tiles<true>(sums[limb], a, b);
        } else {
          multiply_tiles<false>(sums[limb], a, b);
        }
      }
      if constexpr (!SignedB) {  // sums of the rows' codes: a column of ones
        const std::uint32_t ones[1][2] = {{0x01010101U, 2 * step + 1 < x.pieces ? 0x01010101U : 0U}};
        multiply_tiles<false>(codes, a, ones);
      }
      weights += 2 * kPieceRows * 16;
    }
    Sums::store_sums(sums);
    if constexpr (!SignedB) {
      if (lane % 4 == 0) {
        for (int m = 0; m < 2; ++m) {
          for (int j = 0; j < 4; j += 2) {
            shared_store(shared_memory<std::uint32_t>(kRowSums) + warp * 32 + m * 16 + j / 2 * 8 + lane / 4,
                         static_cast<std::uint32_t>(codes[m][0][j]));
          }
        }
      }
    }
    shared_store(shared_memory<std::int32_t>(kRowClass) + thread, row_class);
    shared_store(shared_memory<std::int32_t>(kRowPosition) + thread, row_position);
    sync_warp();
  }
  /// The next chunk's barrier is before anything is overwritten.
  BITCYCLE_DEVICE static void done() {}
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
