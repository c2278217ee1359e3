// SPDX-License-Identifier: Apache-2.0
// A product of bytes by patches (patch.h): a block keeps its columns' weights and two patches in shared memory, one
// that it multiplies while the next one arrives, and goes from chunk to chunk. Every pixel crosses memory about once,
// and the loop has no addresses to make but a sum.
#pragma once

#include "cuda/products/patch.h"
#include "cuda/products/tile_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A position (PatchItem) with a free bit above each of its parts: 7 bits of an image's number, 11 of a row, 11 of a
/// column. One subtraction then compares all three: a bit stays where its part is not below the other's.
constexpr std::uint32_t kGuardBits = 0x80800800U, kMostCoordinate = 2047;
BITCYCLE_DEVICE std::uint32_t position_of(int image, int row, int column) {
  return static_cast<std::uint32_t>(image) << 24 | static_cast<std::uint32_t>(row) << 12 |
         static_cast<std::uint32_t>(column);
}
/// position: with its free bits; lo: without; hi: twice over.
BITCYCLE_DEVICE bool is_between(std::uint32_t position, std::uint32_t lo, std::uint32_t hi) {
  return (~((position - lo) & (hi - position)) & kGuardBits) == 0;
}
/// What is needed of a chunk (patch.h): which of its rectangle's pixels and positions exist, where the first ones are.
struct alignas(16) PatchWindow {
  std::uint32_t pixel_lo, pixel_hi, position_hi;  // positions
  std::int32_t first_byte, first_position;        // of the patch's first pixel, which may lie before the image
  std::int32_t h, w, unused;                      // of the first position
};
/// Where pixels from `first` on lie inside 0..size-1: from lo to hi, or lo above every position.
BITCYCLE_DEVICE void part_of_image(int first, int size, int& lo, int& hi) {
  const int most = static_cast<int>(kMostCoordinate);
  lo = first < 0 ? -first : 0;
  hi = size - 1 - first;
  if (hi > most) hi = most;
  if (hi < 0 || lo > most) {
    lo = most;
    hi = 0;
  }
}
BITCYCLE_DEVICE PatchWindow window_at(const Tiling& t, int index, int channels) {
  const Chunk c = chunk_at(t, index);
  int row_lo = 0, row_hi = 0, column_lo = 0, column_hi = 0;
  part_of_image(c.h * t.stride - t.padding_h, t.in_h, row_lo, row_hi);
  part_of_image(c.w * t.stride - t.padding_w, t.in_w, column_lo, column_hi);
  PatchWindow w;
  w.pixel_lo = position_of(0, row_lo, column_lo);
  w.pixel_hi = position_of(c.images - 1, row_hi, column_hi) + 2 * kGuardBits;
  w.position_hi = position_of(c.images - 1, c.rows - 1, c.columns - 1) + 2 * kGuardBits;
  w.first_byte = first_pixel(t, c) * channels;
  w.first_position = first_position(t, c);
  w.h = c.h;
  w.w = c.w;
  w.unused = 0;
  return w;
}

/// Where the patches of a product come from, and where they lie in shared memory. The reduction runs over segments: 16
/// channels (a slice) of a tap. Channels are a multiple of 16.
struct Patches {
  static constexpr std::int64_t kMostPixels = kMostCoordinate, kMostSlices = 128;  // threads that copy a pixel
  const std::uint8_t* codes;                                                       // (n, in_h, in_w, channels)
  Tiling tiling;
  ClassMap map;           // which taps exist at a position
  std::int32_t slices;    // of a pixel: all, or those of a tile's window (group_tiles.h)
  std::int32_t pixel;     // bytes from one pixel to the next
  std::int32_t pitch;     // of a patch: planes (slice, pixel) of 16 bytes, pixels that are copied together lie in
                          // different banks
  std::int32_t segments;  // kh * kw * slices
  std::int32_t kw, taps;
  bool transposed;  // error pass: the first tap is the last pixel
  // Bytes of shared memory, behind what the kernel has itself.
  std::int32_t windows, weights, offsets, items, patches, end;

  BITCYCLE_HD std::int32_t steps() const { return (segments + 1) / 2; }
  BITCYCLE_HD std::int32_t patch_bytes() const { return slices * pitch * 16; }

  static std::int32_t pitch_of(std::int64_t pixels, std::int64_t slices) {
    const std::int64_t phase = slices == 1 ? pixels % 8 : (slices == 2 ? 4 : (slices == 4 ? 2 : 1));
    return static_cast<std::int32_t>(pixels + (phase - pixels % 8 + 8) % 8);
  }
  /// Pixels that `bytes` of shared memory have room for.
  static std::int64_t pixels_that_fit(std::int64_t bytes, std::int64_t slices) {
    return std::min<std::int64_t>(kMostPixels, (bytes - 7 * 32 * slices - 16) / (32 * slices + 8));
  }
  /// Bytes of windows, weights and segments' offsets.
  static std::int64_t fixed_bytes(std::int64_t segments, std::int64_t limbs_of_columns) {
    return kWindowBytes + (segments + 1) / 2 * 2 * (16 * limbs_of_columns + 4);
  }
  static constexpr int kWindowBytes = 2 * static_cast<int>(sizeof(PatchWindow));
  void lay_out(std::int64_t first, std::int64_t limbs_of_columns) {
    pitch = pitch_of(tiling.pixels(), slices);
    windows = static_cast<std::int32_t>(first);
    weights = windows + kWindowBytes;
    offsets = weights + steps() * 2 * 16 * static_cast<std::int32_t>(limbs_of_columns);
    items = offsets + steps() * 2 * 4;
    patches = (items + tiling.pixels() * 8 + 15) / 16 * 16;
    end = patches + 2 * patch_bytes();
  }
};

/// Four warps with 16 MT positions and 8 NT columns each. LB, SignedB: as in TileProduct.
template <int LB, bool SignedB, int NT, int MT>
struct PatchProduct : TileOfSums<1, LB, SignedB, NT, MT> {
  using Sums = TileOfSums<1, LB, SignedB, NT, MT>;
  using Source = Patches;
  using Sums::kColumns, Sums::kRows, Sums::kWarpRows;
  static constexpr bool kSigned = SignedB;
  static constexpr int kTiles = NT, kLimbs = LB, kBlock = 128, kOwn = MT / 2;  // positions of a thread
  static constexpr int kForwardBlocks = NT <= 4 ? 3 : 2, kErrorBlocks = NT == 2 && LB <= (SignedB ? 2 : 1) ? 3 : 2;
  static constexpr int kRowInfo = Sums::kSumBytes;
  static constexpr int kThreadInfo = kRowInfo + kRows * static_cast<int>(sizeof(RowInfo));
  static constexpr int kSegmentRows = LB * kColumns;  // weights lie as (segment, limb, column) of 16 bytes

  /// What a thread needs once a chunk, in shared memory: making it again would take longer, keeping it registers.
  struct alignas(16) ThreadInfo {
    std::uint32_t pixel[MT];  // of the lane's rows for ldmatrix, in bytes of a plane
    std::int32_t weights, first_sum, row_sum;
    std::uint32_t ones;   // a constant that stays in a register
    PatchItem own[kOwn];  // rows lane, lane + 32 of the warp
  };
  static constexpr int kInfoWords = static_cast<int>(sizeof(ThreadInfo)) / 16;
  static_assert(sizeof(ThreadInfo) == static_cast<std::size_t>(16 * kInfoWords));
  static constexpr int kEnd = kThreadInfo + kBlock * static_cast<int>(sizeof(ThreadInfo));

  const Patches& x;
  const int columns, step;                           // of the result; from the block's chunk to its next one
  const int first_channel;                           // of a pixel's
  PatchWindow coming;                                // of the patch that is on its way
  int buffer = 0;                                    // it arrives in, and its window's
  int own_pixel, pixels_step, own_plane, own_slice;  // what the thread copies

  /// As TileProduct.
  BITCYCLE_DEVICE PatchProduct(const Patches& source, const Packed& packed, int of_result, int first_row,
                               int first_chunk, int chunk_step, int channel = 0)
      : x(source), columns(of_result), step(chunk_step), first_channel(channel) {
    const Tiling& t = x.tiling;
    const int thread = thread_index();
    for (int i = thread; i < 2 * x.steps() * kSegmentRows; i += kBlock) {  // padded, so that every segment is there
      // Two segments of a row are neighbours in memory.
      const int pair = i / 2 / kSegmentRows, row = i / 2 % kSegmentRows, segment = 2 * pair + i % 2;
      const int limb = row / kColumns, column = row % kColumns;
      async_copy16(shared_memory<std::uint8_t>(x.weights + (segment * kSegmentRows + row) * 16),
                   packed.bytes + (limb * packed.rows + first_row + column) * packed.depth + segment * 16, true);
    }
    for (int segment = thread; segment < 2 * x.steps(); segment += kBlock) {
      // Behind the last segment any pixel will do: its weights are zeros, and sums of codes leave it out.
      const int slice = segment < x.segments ? segment % x.slices : 0;
      int tap = segment < x.segments ? segment / x.slices : 0;
      if (x.transposed) tap = x.taps - 1 - tap;
      const int offset = slice * x.pitch + tap / x.kw * t.patch_w + tap % x.kw;
      shared_store(shared_memory<std::int32_t>(x.offsets) + segment, offset * 16);
    }
    for (int i = thread; i < t.pixels(); i += kBlock) {
      const PatchItem item = pixel_item(t, i);
      shared_store(shared_memory<PatchItem>(x.items) + i,
                   PatchItem{item.position | kGuardBits, item.distance * x.pixel});
    }
    for (int i = 0; i < 2; ++i) {
      if (thread < 32 && first_chunk + i * step < t.chunks) make_window(first_chunk + i * step, i);
    }
    store_info(thread_info());
    // A thread keeps its slice; where they do not divide the threads, the last ones copy nothing.
    pixels_step = kBlock / x.slices;
    own_pixel = thread / x.slices < pixels_step ? thread / x.slices : t.pixels();
    own_slice = thread % x.slices * 16 + first_channel;
    own_plane = thread % x.slices * x.pitch * 16;
    sync_threads();
    if (first_chunk < t.chunks) load();
    async_commit();
  }

  BITCYCLE_HD static int chunks(const Patches& x) { return x.tiling.chunks; }
  static int shared_bytes(const Patches& x, int) { return x.end; }
  BITCYCLE_DEVICE ThreadInfo thread_info() const {
    const Tiling& t = x.tiling;
    const int lane = lane_index(), first_row = thread_index() / 32 * kWarpRows;
    ThreadInfo info;
    for (int m = 0; m < MT; ++m) {
      const int row = first_row + m * 16 + lane % 16;
      info.pixel[m] =
          row < t.positions() ? static_cast<std::uint32_t>(patch_pixel(t, position_item(t, row))) * 16U : 0U;
    }
    info.weights = x.weights + (lane / 8 % 2 * kSegmentRows + lane / 16 * 8 + lane % 8) * 16;
    info.first_sum = Sums::first_sum();
    info.row_sum = kRowInfo + (first_row + lane % 4 * 8 + lane / 4) * static_cast<int>(sizeof(RowInfo)) + 8;
    info.ones = 0x01010101U;
    for (int i = 0; i < kOwn; ++i) {
      info.own[i] = position_item(t, first_row + i * 32 + lane);
      info.own[i].position |= kGuardBits;
    }
    return info;
  }
  /// Words of 16 bytes, each of all threads together.
  BITCYCLE_DEVICE static void store_info(const ThreadInfo& info) {
    Word4 words[kInfoWords];
    memcpy(words, &info, sizeof info);
    for (int i = 0; i < kInfoWords; ++i) {
      shared_store(shared_memory<Word4>(kThreadInfo) + i * kBlock + thread_index(), words[i]);
    }
  }
  BITCYCLE_DEVICE static ThreadInfo load_info() {
    Word4 words[kInfoWords];
    for (int i = 0; i < kInfoWords; ++i) {
      words[i] = shared_load(shared_memory<Word4>(kThreadInfo) + i * kBlock + thread_index());
    }
    ThreadInfo info;
    memcpy(&info, words, sizeof info);
    return info;
  }

  BITCYCLE_DEVICE Word4* window(int i) const { return shared_memory<Word4>(x.windows) + 2 * i; }
  /// By one warp.
  BITCYCLE_DEVICE void make_window(int chunk, int i) const {
    const PatchWindow made = window_at(x.tiling, chunk, x.pixel);
    Word4 words[2];
    memcpy(words, &made, sizeof made);
    if (lane_index() != 0) return;
    shared_store(window(i), words[0]);
    shared_store(window(i) + 1, words[1]);
  }
  /// The coming chunk's pixels. Neighbouring threads copy neighbouring slices. The address of a pixel that does not
  /// exist is not used.
  BITCYCLE_DEVICE void load() {
    const Word4 words[2] = {shared_load(window(buffer)), shared_load(window(buffer) + 1)};
    memcpy(&coming, words, sizeof coming);
    auto* patch = shared_memory<std::uint8_t>(x.patches + buffer * x.patch_bytes() + own_plane);
    const int first_byte = coming.first_byte + own_slice, pixels = x.tiling.pixels();
    BITCYCLE_UNROLL_BY(1)
    for (int i = own_pixel; i < pixels; i += pixels_step) {
      const PatchItem item = shared_load(shared_memory<PatchItem>(x.items) + i);
      async_copy16(patch + i * 16, x.codes + (first_byte + item.distance),
                   is_between(item.position, coming.pixel_lo, coming.pixel_hi));
    }
  }

  /// A chunk's sums into shared memory, where each warp finds its own; `next`: the block's next one.
  BITCYCLE_DEVICE void run(int, int next) {
    const int thread = thread_index(), lane = lane_index();
    const PatchWindow chunk = coming;
    const std::uint8_t* patch = shared_memory<std::uint8_t>(x.patches + buffer * x.patch_bytes());
    async_wait<0>();
    sync_threads();  // the patch and the next window are there for all; all are done with the other patch
    buffer ^= 1;
    if (next < x.tiling.chunks) {
      load();
      if (thread < 32 && next + step < x.tiling.chunks) make_window(next + step, buffer ^ 1);
    }
    async_commit();
    const ThreadInfo info = load_info();
    std::int32_t at[kOwn], row_class[kOwn];
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      at[i] = -1;
      row_class[i] = 0;
      if (is_between(info.own[i].position, 0, chunk.position_hi)) {
        const PatchItem position{info.own[i].position & ~kGuardBits, 0};
        at[i] = (chunk.first_position + info.own[i].distance) * columns;
        row_class[i] = x.map.of(chunk.h + position.row(), chunk.w + position.column());
      }
    }

    std::int32_t sums[LB][MT][NT][4] = {}, codes[MT][1][4] = {};
    const auto* offsets = shared_memory<std::int32_t>(x.offsets) + lane / 16;
    const auto* weights = shared_memory<std::uint8_t>(info.weights);
    const std::uint8_t* rows[MT];
    BITCYCLE_UNROLL
    for (int m = 0; m < MT; ++m) rows[m] = patch + info.pixel[m];
    const std::uint32_t ones[1][2] = {{info.ones, info.ones}};
    const std::uint32_t last_ones[1][2] = {{info.ones, x.segments % 2 != 0 ? 0U : info.ones}};
    const auto multiply = [&](const std::int32_t* offset, const std::uint8_t* b_rows, const auto& of_codes) {
      const int segment = shared_load(offset);
      std::uint32_t a[MT][4];
      for (int m = 0; m < MT; ++m) load_matrices(a[m], rows[m] + segment);
      for (int limb = 0; limb < LB; ++limb) {
        std::uint32_t b[NT][2];
        for (int n = 0; n < NT; n += 2) {
          std::uint32_t r[4];
          load_matrices(r, b_rows + (limb * kColumns + n * 8) * 16);
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
      if constexpr (!SignedB) multiply_tiles<false>(codes, a, of_codes);  // sums of the rows' codes
    };
    // The last step first, whose second segment may not exist; nothing is added to zeros then.
    constexpr int kStepBytes = 2 * kSegmentRows * 16;
    const int more = x.steps() - 1;
    multiply(offsets + 2 * more, weights + more * kStepBytes, last_ones);
    BITCYCLE_UNROLL_BY(2)
    for (int i = more; i > 0; --i) {
      multiply(offsets, weights, ones);
      offsets += 2;
      weights += kStepBytes;
    }
    Sums::store_sums(sums, info.first_sum);
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      constexpr int kBytes = static_cast<int>(sizeof(RowInfo));
      const int row = thread / 32 * kWarpRows + i * 32 + lane;
      shared_store(shared_memory<Pair<std::int32_t>>(kRowInfo + row * kBytes), {{at[i], row_class[i] * columns}});
      if constexpr (!SignedB) {  // the four threads of a row have the same sums: each stores one of their four rows'
        const std::int32_t upper = lane % 2 == 0 ? codes[2 * i][0][0] : codes[2 * i][0][2];
        const std::int32_t lower = lane % 2 == 0 ? codes[2 * i + 1][0][0] : codes[2 * i + 1][0][2];
        shared_store(shared_memory<std::int32_t>(info.row_sum + i * 32 * kBytes), lane % 4 < 2 ? upper : lower);
      }
    }
    sync_warp();
  }
  /// The next chunk's barrier is before anything is overwritten.
  BITCYCLE_DEVICE static void done() {}
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
