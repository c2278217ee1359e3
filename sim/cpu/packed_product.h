// SPDX-License-Identifier: Apache-2.0
// PackedProduct: one pass's weights in the kernels' order, with the geometry of the streamed operand, for the forward
// pass (any stride: columns split by phase) and the error pass (stride s: s*s phases of output pixels, each with its
// own taps). The streamed operand is staged with margins of nothing, so that no kernel tests for borders; what depends
// on the border is a table by (row class, column class).
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/winograd.h"
#include "sim/cpu/workers.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle::cpu {

/// Longest reduction for which every true sum of 8 x 8 bit codes fits an int32: 255 * 255 * depth <= 2^31 - 1.
constexpr std::int64_t kMaxDepth = 33025;

/// May signed codes (rows, channels), each of a column summed against codes of 8 bits, be single words? The kernels'
/// elements must be words that hold the codes, and 32 bits the sums: with P and N the sums of a column's positive codes
/// and of the magnitudes of its negative ones, |sum of w q| <= 255 max(P, N), and |sum of w (q - 128)| <= 128 (P + N),
/// so that 256 max(P, N) < 2^31 is enough. rows <= kMaxDepth, |code| <= 32767 or the answer is no.
/// sums: memory for 2 channels.
bool fit_words(const KernelTable& kernels, const std::int32_t* codes, std::int64_t rows, std::int64_t channels,
               Scratch<std::int32_t>& sums);

struct ProductPhase {
  std::int64_t first_row = 0, first_column = 0, step = 1;  // output pixels (first + i * step)
  std::int64_t rows = 0, pixels = 0;
  std::int64_t origin_row = 0, row_step = 1;  // staged row of output row i: origin_row + i * row_step
  std::int64_t origin_column = 0;
  std::vector<std::int64_t> tap;          // kh * kw_count + kw
  std::vector<std::int64_t> sum_offsets;  // (taps) elements of the channel sums
  std::vector<std::int64_t> offsets;      // (runs) bytes from the row's origin
  std::int64_t run_taps = 1;              // taps of a run: those of a kernel row where operands lie pixel by pixel
  std::int64_t run_groups = 0;            // groups of a run
  std::int64_t rows_at_once = 1;          // rows of one product, made as one long row of staged columns
  std::int64_t weights_begin = 0;         // bytes into packed, one limb
  std::vector<std::int64_t> columns;      // (row classes, pixels): offset into the class tables
  std::vector<std::int32_t> addend;       // (row classes, pixels): 128 * channels * taps that exist

  /// Packed bytes of 16 output channels, one limb.
  std::int64_t block_bytes() const { return static_cast<std::int64_t>(offsets.size()) * run_groups * kBlockBytes; }
};

struct PackedProduct {
  PackedProduct() = default;
  PackedProduct(const ConvShape& shape, bool error_pass, const KernelTable& kernels);

  std::int64_t in_h = 0, in_w = 0, in_c = 0, out_h = 0, out_w = 0, out_c = 0, kh = 0, kw = 0;
  /// From one pixel of the codes to the next, and of the values: of a group's product wider than its channels.
  /// 0: its channels.
  std::int64_t in_pitch = 0, out_pitch = 0;
  const PackedProduct* staged_as = nullptr;  // another product whose margins are the same; null: itself
  bool tiles = false;
  std::int64_t group = 4, groups = 0, lanes = 0, blocks = 0;
  std::int64_t pixel_step = 4;   // bytes from what an output pixel reads to what the next one of its phase does
  std::int64_t column_step = 1;  // the same in staged columns
  std::int64_t margin_row = 0, margin_column = 0, column_phases = 1;
  std::int64_t staged_rows = 0, columns = 0, plane = 0, phase_pitch = 0, row_pitch = 0;  // bytes
  std::vector<ProductPhase> phases;
  std::vector<std::int64_t> row_class;  // (out_h)
  std::int64_t row_classes = 0, column_classes = 0;
  std::vector<double> terms;                          // (classes): n, taps that exist times channels
  std::vector<std::vector<std::int64_t>> class_taps;  // (classes): the taps that exist
  std::int64_t limb_bytes = 0;                        // packed bytes of one limb, all phases
  bool has_winograd = false;                          // of weights of one byte

  /// Of this step's weights.
  int limbs = 1;
  double weight_offset = 0.0;
  bool by_winograd = false;
  WinogradProduct winograd;
  Scratch<char> packed;                // by phase: (blocks of all limbs, runs, run groups, 16 lanes, 4 bytes)
  Scratch<std::int32_t> correction32;  // (classes, lanes)
  Scratch<double> correction;          // (classes, lanes)
  Scratch<double> weight_sums;         // (classes, lanes): [q_w] or [w_G]

  std::int64_t classes() const { return row_classes * column_classes; }
  std::int64_t pixel_in() const { return in_pitch != 0 ? in_pitch : in_c; }
  std::int64_t pixel_out() const { return out_pitch != 0 ? out_pitch : out_c; }
  /// Tiles read 32 pixels, and whole multiples of 64 bytes of each; odd maps under minimal filtering a row more.
  std::int64_t staged_bytes() const {
    return staged_rows * row_pitch + (tiles ? 32 * pixel_step + 64 : 0) + (has_winograd ? row_pitch : 0);
  }
  /// Output rows of a phase whose sums are made together, each as long as a row of staged columns.
  std::int64_t rows_of_sums(const ProductPhase& phase) const {
    return by_winograd ? winograd.rows_at_once() : phase.rows_at_once;
  }
  std::int64_t staged_columns() const { return column_phases * columns; }

  /// Integers codes[out * out_step + tap * tap_step + in * in_step], below 2^24 in magnitude, as limbs of
  /// (code + offset), a number of limb_count bytes. Codes: std::int32_t, or, of one limb and offset 0, std::uint8_t.
  template <typename Code>
  void pack(const KernelTable& kernels, Workers& workers, int limb_count, std::int32_t offset, const Code* codes,
            std::int64_t out_step, std::int64_t tap_step, std::int64_t in_step);
  /// Signed codes as one limb of a whole word, for which fit_words() holds.
  void pack_words(const KernelTable& kernels, Workers& workers, const std::int32_t* codes, std::int64_t out_step,
                  std::int64_t tap_step, std::int64_t in_step);

 private:
  template <typename Code>
  void pack_limbs(const KernelTable& kernels, Workers& workers, int limb_count, bool words, std::int32_t offset,
                  const Code* codes, std::int64_t out_step, std::int64_t tap_step, std::int64_t in_step);

  Scratch<std::int64_t> tap_sums_;  // (taps, lanes)
};

}  // namespace bitcycle::cpu
