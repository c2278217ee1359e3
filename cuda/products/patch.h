// SPDX-License-Identifier: Apache-2.0
// Convolutions by patches: a block takes a rectangle of output positions at a time and keeps the pixels that its
// windows cover in shared memory, each once. A tap is then an offset, the same for all positions, and ldmatrix, whose
// lanes give one address each, reads the operands of tensor cores straight from the pixels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_common.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// How positions are cut into chunks: rectangles of one image, or whole images where more than one fits.
struct Tiling {
  std::int32_t n = 0, out_h = 0, out_w = 0, in_h = 0, in_w = 0, stride = 1, padding_h = 0, padding_w = 0;
  std::int32_t images = 1, tile_h = 1, tile_w = 1;  // of a chunk's positions
  std::int32_t patch_h = 1, patch_w = 1;            // pixels of one image of a chunk
  std::int32_t chunks = 0;
  Divisor tiles_h, tiles_w;  // rectangles of an image
  Divisor by_tile_h, by_tile_w, by_patch_h, by_patch_w;
  BITCYCLE_HD std::int32_t positions() const { return images * tile_h * tile_w; }
  BITCYCLE_HD std::int32_t pixels() const { return images * patch_h * patch_w; }
};

/// Extents of a convolution's positions and pixels; in an error pass of stride 1 the positions are the inputs.
struct PatchShape {
  std::int64_t n, out_h, out_w, in_h, in_w, kh, kw, stride, padding_h, padding_w;
};

/// The tiling with the least work: positions are computed by 32, pixels and positions are copied, a chunk has its own
/// cost. At most so many positions and pixels a chunk; most_pixels >= kh * kw.
inline Tiling tiling_of(const PatchShape& s, std::int64_t most_positions, std::int64_t most_pixels) {
  constexpr std::int64_t kMostImages = 255, kChunkCost = 64;  // an image's number has 8 bits in a PatchItem
  const auto up = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  Tiling best;
  best.n = static_cast<std::int32_t>(s.n);
  best.out_h = static_cast<std::int32_t>(s.out_h);
  best.out_w = static_cast<std::int32_t>(s.out_w);
  best.in_h = static_cast<std::int32_t>(s.in_h);
  best.in_w = static_cast<std::int32_t>(s.in_w);
  best.stride = static_cast<std::int32_t>(s.stride);
  best.padding_h = static_cast<std::int32_t>(s.padding_h);
  best.padding_w = static_cast<std::int32_t>(s.padding_w);
  if (s.n == 0 || s.out_h == 0 || s.out_w == 0) return best;
  std::int64_t least = INT64_MAX;
  for (std::int64_t most_w = 1; most_w <= std::min(s.out_w, most_positions); ++most_w) {
    const std::int64_t tiles_w = up(s.out_w, most_w), tile_w = up(s.out_w, tiles_w);
    const std::int64_t patch_w = (tile_w - 1) * s.stride + s.kw;
    if (patch_w * s.kh > most_pixels) continue;
    const std::int64_t most_h =
        std::min({s.out_h, most_positions / tile_w, (most_pixels / patch_w - s.kh) / s.stride + 1});
    const std::int64_t tiles_h = up(s.out_h, most_h), tile_h = up(s.out_h, tiles_h);
    const std::int64_t patch_h = (tile_h - 1) * s.stride + s.kh;
    std::int64_t images = 1;
    if (tiles_h == 1 && tiles_w == 1) {
      images = std::min({s.n, kMostImages, most_positions / (tile_h * tile_w), most_pixels / (patch_h * patch_w)});
      images = up(s.n, up(s.n, images));
    }
    const std::int64_t chunks = up(s.n, images) * tiles_h * tiles_w;
    const std::int64_t positions = images * tile_h * tile_w, pixels = images * patch_h * patch_w;
    const std::int64_t cost = chunks * (kChunkCost + 2 * up(positions, 32) * 32 + pixels);
    if (cost >= least) continue;
    least = cost;
    best.images = static_cast<std::int32_t>(images);
    best.tile_h = static_cast<std::int32_t>(tile_h);
    best.tile_w = static_cast<std::int32_t>(tile_w);
    best.patch_h = static_cast<std::int32_t>(patch_h);
    best.patch_w = static_cast<std::int32_t>(patch_w);
    best.by_tile_h = Divisor(best.tile_h);
    best.by_tile_w = Divisor(best.tile_w);
    best.by_patch_h = Divisor(best.patch_h);
    best.by_patch_w = Divisor(best.patch_w);
    best.chunks = static_cast<std::int32_t>(chunks);
    best.tiles_h = Divisor(static_cast<std::int32_t>(tiles_h));
    best.tiles_w = Divisor(static_cast<std::int32_t>(tiles_w));
  }
  return best;
}

/// Where a chunk lies: its first image, output row and column, and how many of each it has.
struct Chunk {
  std::int32_t n, h, w, images, rows, columns;
};
BITCYCLE_DEVICE Chunk chunk_at(const Tiling& t, int index) {
  int tile_w = index, tile_h = divide(tile_w, t.tiles_w);
  const int group = divide(tile_h, t.tiles_h);
  Chunk c;
  c.n = group * t.images;
  c.h = tile_h * t.tile_h;
  c.w = tile_w * t.tile_w;
  c.images = t.n - c.n < t.images ? t.n - c.n : t.images;
  c.rows = t.out_h - c.h < t.tile_h ? t.out_h - c.h : t.tile_h;
  c.columns = t.out_w - c.w < t.tile_w ? t.out_w - c.w : t.tile_w;
  return c;
}
/// First position of a chunk among all; its patch's first pixel, which may lie before the image.
BITCYCLE_DEVICE std::int32_t first_position(const Tiling& t, const Chunk& c) {
  return (c.n * t.out_h + c.h) * t.out_w + c.w;
}
BITCYCLE_DEVICE std::int32_t first_pixel(const Tiling& t, const Chunk& c) {
  return (c.n * t.in_h + c.h * t.stride - t.padding_h) * t.in_w + c.w * t.stride - t.padding_w;
}

/// A pixel or a position of any chunk: its position in the rectangle and its distance from the first one.
struct alignas(8) PatchItem {
  std::uint32_t position;  // image << 24 | row << 12 | column
  std::int32_t distance;
  BITCYCLE_DEVICE int image() const { return static_cast<int>(position >> 24); }
  BITCYCLE_DEVICE int row() const { return static_cast<int>(position >> 12 & 0xFFFU); }
  BITCYCLE_DEVICE int column() const { return static_cast<int>(position & 0xFFFU); }
};
/// Item i of rectangles of h x w, in images of image_h x image_w.
BITCYCLE_DEVICE PatchItem patch_item(int i, const Divisor& h, const Divisor& w, int image_h, int image_w) {
  int column = i, row = divide(column, w);
  const int image = divide(row, h);
  return {static_cast<std::uint32_t>(image) << 24 | static_cast<std::uint32_t>(row) << 12 |
              static_cast<std::uint32_t>(column),
          (image * image_h + row) * image_w + column};
}
BITCYCLE_DEVICE PatchItem pixel_item(const Tiling& t, int i) {
  return patch_item(i, t.by_patch_h, t.by_patch_w, t.in_h, t.in_w);
}
BITCYCLE_DEVICE PatchItem position_item(const Tiling& t, int i) {
  return patch_item(i, t.by_tile_h, t.by_tile_w, t.out_h, t.out_w);
}
/// The pixel of a position's tap (0, 0), in the patch.
BITCYCLE_DEVICE int patch_pixel(const Tiling& t, const PatchItem& position) {
  return (position.image() * t.patch_h + position.row() * t.stride) * t.patch_w + position.column() * t.stride;
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
