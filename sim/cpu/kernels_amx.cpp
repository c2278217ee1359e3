// SPDX-License-Identifier: Apache-2.0
// AMX kernels: tdpbsud multiplies a tile of 16 rows of 64 signed bytes with one of 64 rows of 16 unsigned bytes and
// adds to 16 x 16 sums. Rows are pixels or channels of the streamed operand, as they lie; columns are 16 lanes of
// weights or gradients. Two by two such tiles of sums use every tile that is loaded twice. Everything else is as on
// AVX-512.
// Compiled for x86_64: -mamx-tile -mamx-int8 -mavx512f -mavx512bw -mavx512vl -mavx512dq
// Compiled for x86_64: -mavx512vnni -mavx512vbmi -mavx2 -mfma -mprefer-vector-width=512
#include <immintrin.h>

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

// Each needs those before it.
// clang-format off
#include "sim/cpu/simd_avx512.inl"
#include "sim/cpu/fused_native.inl"
#include "sim/cpu/bytes.inl"
#include "sim/cpu/tiles.inl"
#include "sim/cpu/elementwise.inl"
#include "sim/cpu/code_rows.inl"
#include "sim/cpu/max_pool.inl"
#include "sim/cpu/word_pairs_avx512.inl"
#include "sim/cpu/depthwise_staging.inl"
#include "sim/cpu/byte_quads_avx512.inl"
#include "sim/cpu/depthwise.inl"
#include "sim/cpu/depthwise_3x3_avx512.inl"
#include "sim/cpu/depthwise_taps.inl"
// clang-format on

constexpr std::int64_t kTileBytes = 1024;  // 16 rows of 64 bytes
constexpr std::int64_t kStepGroups = 16;   // groups of 4 that one tile multiplies

/// Eight tiles of 16 rows of 64 bytes: 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileShapes kTileShapes;

/// The tiles' registers while it lives; afterwards they are as if never used, so that they need not be saved.
struct Tiles {
  Tiles() { _tile_loadconfig(&kTileShapes); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// Numbers of tiles are parts of instructions, so that each form is written out. Sums (row tile, column tile) are tile
/// 2 * row + column.
template <int kRows, int kColumns>
inline void clear_sums() {
  _tile_zero(0);
  if constexpr (kColumns == 2) _tile_zero(1);
  if constexpr (kRows == 2) _tile_zero(2);
  if constexpr (kRows == 2 && kColumns == 2) _tile_zero(3);
}
template <int kRows, int kColumns>
inline void multiply(const char* rows, std::int64_t row_step, const char* columns, std::int64_t column_step,
                     std::int64_t columns_pitch) {
  _tile_loadd(4, rows, row_step);
  _tile_loadd(6, columns, columns_pitch);
  _tile_dpbsud(0, 4, 6);
  if constexpr (kColumns == 2) {
    _tile_loadd(7, columns + column_step, columns_pitch);
    _tile_dpbsud(1, 4, 7);
  }
  if constexpr (kRows == 2) {
    _tile_loadd(5, rows + 16 * row_step, row_step);
    _tile_dpbsud(2, 5, 6);
  }
  if constexpr (kRows == 2 && kColumns == 2) _tile_dpbsud(3, 5, 7);
}
template <int kRows, int kColumns>
inline void load_sums(const std::int32_t* sums, std::int64_t pitch, std::int64_t row_step, std::int64_t column_step) {
  _tile_loadd(0, sums, pitch);
  if constexpr (kColumns == 2) _tile_loadd(1, sums + column_step, pitch);
  if constexpr (kRows == 2) _tile_loadd(2, sums + row_step, pitch);
  if constexpr (kRows == 2 && kColumns == 2) _tile_loadd(3, sums + row_step + column_step, pitch);
}
template <int kRows, int kColumns>
inline void store_sums(std::int32_t* sums, std::int64_t pitch, std::int64_t row_step, std::int64_t column_step) {
  _tile_stored(0, sums, pitch);
  if constexpr (kColumns == 2) _tile_stored(1, sums + column_step, pitch);
  if constexpr (kRows == 2) _tile_stored(2, sums + row_step, pitch);
  if constexpr (kRows == 2 && kColumns == 2) _tile_stored(3, sums + row_step + column_step, pitch);
}

template <int kRows, int kColumns>
inline void product_tiles(const RowProduct& row, std::int64_t b, std::int64_t p) {
  clear_sums<kRows, kColumns>();
  const char* w = row.weights + b * row.block_stride;
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const char* x = row.x + row.offsets[t] + p * row.pixel_step;
    for (std::int64_t g = 0; g < row.groups; g += kStepGroups, x += 4 * kStepGroups, w += kTileBytes) {
      multiply<kRows, kColumns>(x, row.pixel_step, w, row.block_stride, kBlockBytes);
    }
  }
  store_sums<kRows, kColumns>(row.sums + (p * row.blocks + b) * kLanes, row.blocks * kLanes * 4,
                              kLanes * row.blocks * kLanes, kLanes);
}

template <int kColumns>
inline void product_column(const RowProduct& row, std::int64_t b) {
  std::int64_t p = 0;
  for (; p + kLanes < row.pixels; p += 2 * kLanes) product_tiles<2, kColumns>(row, b, p);
  if (p < row.pixels) product_tiles<1, kColumns>(row, b, p);
}

void row_product(const RowProduct& row) {
  const Tiles tiles;
  std::int64_t b = 0;
  for (; b + 2 <= row.blocks; b += 2) product_column<2>(row, b);
  if (b < row.blocks) product_column<1>(row, b);
}

template <int kRows, int kColumns>
inline void gradient_tiles(const TapGradient& tap, std::int64_t b, std::int64_t c) {
  const std::int64_t block = tap.x_lanes * kLanes;
  std::int32_t* sums = tap.sums + b * block + c * kLanes;
  if (tap.fresh) {
    clear_sums<kRows, kColumns>();
  } else {
    load_sums<kRows, kColumns>(sums, 4 * kLanes, kLanes * kLanes, block);
  }
  const char* x = tap.x + c * tap.x_plane;
  const char* g = tap.g + b * kBlockBytes;
  for (std::int64_t s = 0; s < tap.steps; ++s, x += 4 * kStepGroups, g += 4 * kStepGroups * tap.g_lanes) {
    multiply<kRows, kColumns>(x, tap.x_plane, g, kBlockBytes, 4 * tap.g_lanes);
  }
  store_sums<kRows, kColumns>(sums, 4 * kLanes, kLanes * kLanes, block);
}

template <int kColumns>
inline void gradient_column(const TapGradient& tap, std::int64_t b) {
  std::int64_t c = 0;
  for (; c + 2 * kLanes <= tap.x_lanes; c += 2 * kLanes) gradient_tiles<2, kColumns>(tap, b, c);
  if (c < tap.x_lanes) gradient_tiles<1, kColumns>(tap, b, c);
}

void tap_gradient(const TapGradient& tap) {
  const Tiles tiles;
  const std::int64_t blocks = tap.g_lanes / kLanes;
  std::int64_t b = 0;
  for (; b + 2 <= blocks; b += 2) gradient_column<2>(tap, b);
  if (b < blocks) gradient_column<1>(tap, b);
}

#include "sim/cpu/tables.inl"

constexpr KernelTable table_of_tiles() {
  KernelTable table = table_named("amx");
  table.tiles = true;
  table.stage_channels = stage_channels_of_tiles;
  table.channel_sums = channel_sums_of_tiles;
  table.stage_x_positions = stage_x_positions;
  table.stage_g_positions = stage_g_positions;
  return table;
}

}  // namespace

const KernelTable kAmxKernels = table_of_tiles();

}  // namespace bitcycle::cpu
