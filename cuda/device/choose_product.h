// SPDX-License-Identifier: Apache-2.0
// Which kernel multiplies: by patches, where a shape's pixels and weights fit shared memory, else by rows; how many
// tiles of columns a block takes, and how many blocks run.
#pragma once

#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/products/kernels_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

template <typename Kernel, typename Args>
void CudaLibrary::launch_product(std::int64_t columns, const Args& args, const typename Kernel::Product::Source& source,
                                 gpu::Work work) {
  using Product = typename Kernel::Product;
  const std::int64_t column_tiles = Product::column_tiles(source, static_cast<std::int32_t>(columns));
  const std::int64_t bytes = Product::shared_bytes(source, Kernel::kSharedBytes);
  // Blocks keep their channels' sums and go on to the next rows: as many as are there at once.
  const std::int64_t at_once = std::min<std::int64_t>(Kernel::kMinBlocks, blocks_share() / (bytes + kBlockBytes));
  const std::int64_t resident = std::max<std::int64_t>(1, at_once * runtime_->processors() / column_tiles);
  const std::int64_t chunks = std::clamp<std::int64_t>(Product::chunks(source), 1, resident);
  launch<Kernel>(static_cast<int>(column_tiles * chunks), static_cast<std::size_t>(bytes), args, work);
}

template <typename Kernel>
std::optional<Patches> CudaLibrary::patches_of(const StreamedRows& x, const PatchShape& s) {
  using Product = typename Kernel::Product;
  const std::int64_t slices = x.channels / 16, taps = s.kh * s.kw;
  if (!x.segments || slices > Patches::kMostSlices || (x.transposed && x.stride.value != 1)) return {};
  const std::int64_t own = Kernel::kSharedBytes, limbs_of_columns = Product::kSegmentRows;
  const std::int64_t room = blocks_share() / 2 - kBlockBytes - own;
  const std::int64_t most_pixels =
      Patches::pixels_that_fit(room - Patches::fixed_bytes(taps * slices, limbs_of_columns), slices);
  if (most_pixels < taps) return {};
  Patches patches{};
  patches.codes = static_cast<const std::uint8_t*>(x.codes);
  patches.tiling = tiling(s, Product::kRows, most_pixels);
  // Tensor cores multiply all rows of a chunk, positions or not: where many channels leave room for few pixels,
  // products by rows, which fill theirs, are faster.
  if (5 * x.rows < std::int64_t{3} * patches.tiling.chunks * Product::kRows) return {};
  // Images of a chunk, those of rows beyond its last position too, are numbered with 7 bits.
  if (Product::kRows > 128 * patches.tiling.tile_h * patches.tiling.tile_w) return {};
  patches.map = x.map;
  patches.slices = static_cast<std::int32_t>(slices);
  patches.pixel = x.pixel;
  patches.segments = static_cast<std::int32_t>(taps * slices);
  patches.kw = x.kw;
  patches.taps = x.kh * x.kw;
  patches.transposed = x.transposed;
  patches.lay_out(own, limbs_of_columns);
  return patches;
}

template <template <typename> class Kernel, int LA, int LB, bool Signed, typename Go>
void CudaLibrary::choose_grouped_product(const StreamedRows& x, const PatchShape& s, const GroupTiles& tiles,
                                         const Go& go) {
  constexpr int kTiles = grouped_tiles(LB, Signed);
  if constexpr (LA == 1) {
    using Product = Grouped<PatchProduct<LB, Signed, kTiles, 2>>;
    if (const auto patches = patches_of<Kernel<Product>>(x, s)) {
      return go(std::type_identity<Product>{}, typename Product::Source{*patches, tiles});
    }
  }
  using Product = Grouped<TileProduct<LA, LB, Signed, kTiles>>;
  go(std::type_identity<Product>{}, typename Product::Source{x, tiles});
}

template <template <typename> class Kernel, int LA, int LB, bool Signed, int Most, typename Go>
void CudaLibrary::choose_product(const StreamedRows& x, const PatchShape& s, std::int64_t columns, const Go& go) {
  const auto of_tiles = [&](int tiles, const auto& of) {
    if (tiles == 2) return of(std::integral_constant<int, 2>{});
    if constexpr (Most >= 4) {
      if (tiles == 4) return of(std::integral_constant<int, 4>{});
    }
    if constexpr (Most >= 8) of(std::integral_constant<int, 8>{});
  };
  if constexpr (LA == 1) {
    // False where too little of the shape fits.
    const auto by_patches = [&](auto nt, auto mt) {
      using Product = PatchProduct<LB, Signed, decltype(nt)::value, decltype(mt)::value>;
      const auto patches = patches_of<Kernel<Product>>(x, s);
      if (patches) go(std::type_identity<Product>{}, *patches);
      return patches.has_value();
    };
    const bool fits = x.segments;
    // Few columns are worth more rows, where there are enough; the error pass has no registers for them.
    if constexpr (Most == 8) {
      if (fits && columns <= 16 && x.rows >= std::int64_t{2} * 256 * runtime_->processors() &&
          by_patches(std::integral_constant<int, 2>{}, std::integral_constant<int, 4>{})) {
        return;
      }
    }
    // A block reads its pixels once for all its columns, so that wide blocks are worth more than many: three for every
    // four multiprocessors will do.
    bool done = false;
    for (int tiles = column_tiles_of(x.rows, columns, Most, 3 * runtime_->processors() / 4);
         fits && !done && tiles >= 2; tiles /= 2) {
      of_tiles(tiles, [&](auto nt) { done = by_patches(nt, std::integral_constant<int, 2>{}); });
    }
    if (done) return;
  }
  of_tiles(column_tiles_of(x.rows, columns, Most, std::int64_t{2} * runtime_->processors()),
           [&](auto nt) { go(std::type_identity<TileProduct<LA, LB, Signed, decltype(nt)::value>>{}, x); });
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
