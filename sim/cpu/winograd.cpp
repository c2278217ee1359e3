// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/winograd.h"

#include <algorithm>

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kTilesAtOnce = 32;   // some: frequencies of both operands and their products fit the caches
constexpr std::int64_t kTilesBeyond = 16;   // a vector more than there are
constexpr std::int64_t kNoOffset[1] = {0};  // of the one tap of a product of frequencies

}  // namespace

WinogradProduct::WinogradProduct(const std::int64_t* tap_offsets, std::int64_t row_pitch, std::int64_t plane,
                                 std::int64_t groups, std::int64_t blocks, std::int64_t out_h, std::int64_t out_w)
    : top_left_(*std::min_element(tap_offsets, tap_offsets + 9)),
      row_pitch_(row_pitch),
      plane_(plane),
      groups_(groups),
      blocks_(blocks),
      tile_columns_((out_w + 1) / 2) {
  tile_rows_ = std::clamp<std::int64_t>(kTilesAtOnce / tile_columns_, 1, (out_h + 1) / 2);
  for (std::int64_t t = 0; t < 9; ++t) {
    const std::int64_t from = tap_offsets[t] - top_left_;
    tap_at_[from / row_pitch * 3 + from % row_pitch / 4] = t;
  }
}

void WinogradProduct::set_weights(const KernelTable& kernels, const char* packed) {
  const std::int64_t tap_bytes = groups_ * kBlockBytes;
  WinogradWeights some;
  some.bytes = tap_bytes;
  some.pitch = blocks_ * tap_bytes;
  char* const out = weights_.need(kFrequencies * some.pitch);
  for (std::int64_t block = 0; block < blocks_; ++block) {
    for (int t = 0; t < 9; ++t) some.tap[t] = packed + (block * 9 + tap_at_[t]) * tap_bytes;
    some.out = out + block * tap_bytes;
    kernels.winograd.weights(some);
  }
}

void WinogradProduct::rows(const KernelTable& kernels, const char* origin, std::int64_t rows, std::int32_t* sums,
                           std::int64_t sums_pitch, WinogradScratch& scratch) const {
  const std::int64_t tile_rows = (rows + 1) / 2, tiles = tile_rows * tile_columns_, lanes = blocks_ * kLanes;
  const std::int64_t plane = 4 * (tile_rows_ * tile_columns_ + kTilesBeyond), pitch = frequency_pitch(groups_ * plane);
  WinogradInput input;
  input.row_pitch = row_pitch_;
  input.plane = plane_;
  input.groups = groups_;
  input.tiles = tile_columns_;
  input.out_plane = plane;
  input.pitch = pitch;
  char* const operand = scratch.operand.need(kFrequencies * pitch);
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    input.x = origin + top_left_ + 2 * r * row_pitch_;
    input.out = operand + 4 * r * tile_columns_;
    kernels.winograd.input(input);
  }
  const std::int64_t products_pitch = frequency_pitch(4 * tile_rows_ * tile_columns_ * lanes) / 4;
  std::int32_t* const products = scratch.products.need(kFrequencies * products_pitch);
  RowProduct product;
  product.offsets = kNoOffset;
  product.taps = 1;
  product.groups = groups_;
  product.plane = plane;
  product.block_stride = groups_ * kBlockBytes;
  product.blocks = blocks_;
  product.pixels = tiles;
  for (int f = 0; f < kFrequencies; ++f) {
    product.x = operand + f * pitch;
    product.weights = weights_.data() + f * blocks_ * groups_ * kBlockBytes;
    product.sums = products + f * products_pitch;
    kernels.row_product(product);
  }
  WinogradOutput output;
  output.pitch = products_pitch;
  output.tiles = tile_columns_;
  output.lanes = lanes;
  output.row_pitch = sums_pitch;
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    output.products = products + r * tile_columns_ * lanes;
    output.out = sums + 2 * r * sums_pitch;
    kernels.winograd.output(output);
  }
}

}  // namespace bitcycle::cpu
