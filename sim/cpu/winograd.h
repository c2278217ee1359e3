// SPDX-License-Identifier: Apache-2.0
// Minimal filtering (winograd_kernels.h) of a pass of 3 x 3 taps and stride 1: where a table of kernels makes products
// of words, of codes of up to 8 bits, it takes 16 products of 36.
#pragma once

#include <cstdint>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"

namespace bitcycle::cpu {

/// Longest sum over channels whose results fit a quarter of 32 bits: 4 * 9 * 255 * 128 * channels < 2^31.
constexpr std::int64_t kMaxWinogradChannels = 1827;

/// One thread's memory.
struct WinogradScratch {
  Scratch<char> operand;           // (frequencies, groups, tiles, 4 bytes)
  Scratch<std::int32_t> products;  // (frequencies, tiles, lanes)

  template <typename Visit>
  static void each_scratch(WinogradScratch& a, const WinogradScratch& b, const Visit& visit) {
    visit(a.operand, b.operand);
    visit(a.products, b.products);
  }
};

/// The geometry of one pass over one image, and its weights of this step.
class WinogradProduct {
 public:
  WinogradProduct() = default;
  /// Taps' offsets are bytes from an output's origin in the staged operand, whose neighbouring columns are 4 bytes and
  /// whose rows row_pitch bytes apart.
  WinogradProduct(const std::int64_t* tap_offsets, std::int64_t row_pitch, std::int64_t plane, std::int64_t groups,
                  std::int64_t blocks, std::int64_t out_h, std::int64_t out_w);

  /// Output rows that are made together: whole rows of tiles.
  std::int64_t rows_at_once() const { return 2 * tile_rows_; }
  /// Frequencies of `packed` (blocks, taps, groups, 16 lanes, 4 bytes).
  void set_weights(const KernelTable& kernels, const char* packed);
  /// Sums of `rows` output rows, of which origin is the first one's origin: (rows, row_pitch), whose columns are lanes.
  /// An odd row and an odd column more are written.
  void rows(const KernelTable& kernels, const char* origin, std::int64_t rows, std::int32_t* sums,
            std::int64_t sums_pitch, WinogradScratch& scratch) const;

 private:
  std::int64_t tap_at_[9] = {};  // index in the packed weights of each tap, row by row of the operand under it
  std::int64_t top_left_ = 0;    // bytes from an output's origin
  std::int64_t row_pitch_ = 0, plane_ = 0, groups_ = 0, blocks_ = 0;
  std::int64_t tile_rows_ = 1, tile_columns_ = 0;
  Scratch<char> weights_;  // (frequencies, blocks, groups, 16 lanes, 4 bytes)
};

}  // namespace bitcycle::cpu
