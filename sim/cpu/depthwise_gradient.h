// SPDX-License-Identifier: Apache-2.0
// The weight gradient of a depthwise convolution, for codes of one byte or two: both operands as units of neighbouring
// positions (depthwise_kernels.h), a band of rows at a time. Partial sums are integers, one set a thread, added in any
// order.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/ops/conv_shape.h"
#include "sim/quantisers/affine.h"

namespace bitcycle::cpu {

/// Sums of one operand's codes over the positions for which each tap exists: a tap's are those of its phase, less those
/// of a few rows and columns at the edges. Only edges cost a tap anything.
class TapSums {
 public:
  TapSums() = default;
  /// of_x: what a tap reads; else the output positions themselves.
  TapSums(const ConvShape& shape, bool of_x);

  /// Entries of (lanes) that add() adds to.
  std::int64_t size() const { return entries_ * lanes_; }
  /// One image of codes. Of small maps, whose edges are most of them, it only adds codes position by position:
  /// positions() words that fold() adds to the sums, after kMostImages at the latest.
  void add(const KernelTable& kernels, const std::uint8_t* codes, std::int32_t* sums, std::uint16_t* words) const;
  static constexpr std::int64_t kMostImages = 257;
  std::int64_t positions() const { return by_position_ ? height_ * width_ * channels_ : 0; }
  void fold(std::uint16_t* words, std::int32_t* sums) const;
  /// Where totals hold what makes the sum of one tap and channel 0: all of its phase, less rows, less columns, and
  /// both.
  struct Places {
    std::int64_t all = 0, rows = 0, columns = 0, both = 0;
    std::int64_t sum(const std::int64_t* totals, std::int64_t channel) const {
      return totals[all + channel] - totals[rows + channel] - totals[columns + channel] + totals[both + channel];
    }
  };
  Places places(std::int64_t kh, std::int64_t kw) const;

 private:
  /// Positions first, first + step, ... of an axis.
  struct Run {
    std::int64_t first = 0, step = 1, count = 0;
  };
  struct Axis {
    std::vector<Run> phases;
    std::vector<std::int64_t> phase_of;      // (taps)
    std::vector<std::vector<Run>> left_out;  // (taps) what of its phase a tap does not meet
  };
  struct Area {
    std::int64_t entry = 0;
    Run rows, columns;
  };
  static Axis axis_of(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                      bool of_x);

  std::int64_t height_ = 0, width_ = 0, channels_ = 0, lanes_ = 0, entries_ = 0;
  bool by_position_ = false;
  Axis rows_, columns_;
  /// Entries: (row phases, column phases) all; (kh, column phases) rows left out; (row phases, kw) columns left out;
  /// (kh, kw) both.
  std::int64_t rows_begin_ = 0, columns_begin_ = 0, both_begin_ = 0;
  std::vector<Area> areas_;
};

class DepthwiseWeightGradient {
 public:
  DepthwiseWeightGradient() = default;
  DepthwiseWeightGradient(const ConvShape& shape, const KernelTable& kernels);

  /// One thread's sums.
  struct Partial {
    int x_limbs = 1, g_limbs = 1;  // bytes of the codes
    Scratch<char> x, g;            // staged, a band of rows, a limb behind the other
    Scratch<const char*> x_rows, g_rows;
    Scratch<std::int32_t> sums;            // (g limbs, x limbs, taps, lanes)
    Scratch<std::int32_t> x_sums, g_sums;  // (limbs, entries of x_taps and g_taps)
    Scratch<std::int64_t> total, x_total, g_total;
    Scratch<std::uint16_t> x_words, g_words;  // (limbs, positions), since `images` images
    std::int64_t images = 0;
    std::int64_t pending = 0;  // positions since the narrow sums were added to the wide ones
    bool used = false;

    template <typename Visit>
    static void each_scratch(Partial& a, const Partial& b, const Visit& visit) {
      visit(a.x, b.x);
      visit(a.g, b.g);
      visit(a.x_rows, b.x_rows);
      visit(a.g_rows, b.g_rows);
      visit(a.sums, b.sums);
      visit(a.x_sums, b.x_sums);
      visit(a.g_sums, b.g_sums);
      visit(a.total, b.total);
      visit(a.x_total, b.x_total);
      visit(a.g_total, b.g_total);
      visit(a.x_words, b.x_words);
      visit(a.g_words, b.g_words);
    }
  };

  void clear(int x_limbs, int g_limbs, Partial& partial) const;
  /// One image of codes x (h, w, c) and g (out_h, out_w, c).
  void add(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, Partial& partial) const;
  /// dw (c, kh, kw) of `images` images from all threads' sums.
  void finish(Workers& workers, std::vector<Partial>& partials, std::int64_t images, const Affine& x, const Affine& g,
              float* dw) const;

 private:
  std::int64_t taps() const { return shape_.kh * shape_.kw; }
  void fold(Partial& partial) const;
  void flush(Partial& partial) const;

  ConvShape shape_;
  void stage_x(const KernelTable& kernels, const std::uint8_t* codes, char* out) const;
  void stage_g(const KernelTable& kernels, const std::uint8_t* codes, char* out) const;
  std::int64_t x_row_bytes() const { return x_phases_ * x_units_ * lanes_ * 4; }
  std::int64_t g_row_bytes() const { return g_units_ * lanes_ * 4; }

  bool quads_ = false;
  std::int64_t lanes_ = 0, steps_ = 0, band_ = 1;
  /// Units of a row: of x, where they are quads, of each of `stride` phases of its columns.
  std::int64_t x_phases_ = 1, x_units_ = 0, g_units_ = 0;
  std::int64_t shifts_ = 1;              // of x's quads
  std::vector<std::int64_t> x_offsets_;  // (kw) bytes to what a tap reads
  TapSums x_taps_, g_taps_;
};

}  // namespace bitcycle::cpu
