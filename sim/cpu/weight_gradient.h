// SPDX-License-Identifier: Apache-2.0
// The weight gradient of codes of one or two bytes: both operands in groups of neighbouring output pixels, so that a
// tap's gradient is one long dot product over rows. Partial sums are integers, one set a thread, added in any order.
//
// Tables with tiles take all positions of some images as one row. Position r * columns + c of an image stands for
// output (r, c), where there is one, and for pixel (r * stride, c * stride) of the padded operand, or of one of the
// stride^2 phases beside it: a tap is a distance. The sums that offsets need come from a lane more of each operand,
// which is 1 where there is a pixel, or an output.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/winograd_gradient.h"
#include "sim/cpu/workers.h"
#include "sim/ops/conv_shape.h"
#include "sim/quantisers/affine.h"

namespace bitcycle::cpu {

class WeightGradient {
 public:
  /// Longest reduction of unsigned 8 bit codes times code - 128 that an int32 holds.
  static constexpr std::int64_t kMaxPositions = 65793;

  WeightGradient() = default;
  /// x_pitch, g_pitch: from one pixel of x to the next, and of g; 0: their channels.
  WeightGradient(const ConvShape& shape, const KernelTable& kernels, std::int64_t x_pitch = 0,
                 std::int64_t g_pitch = 0);

  /// Images that one call of add() should be given, so that small maps amortise a tile's loads and stores.
  std::int64_t images_at_once() const { return images_at_once_; }

  /// One thread's sums.
  struct Partial {
    int x_limbs = 1, g_limbs = 1;  // bytes of the codes
    Scratch<char> x, g;            // staged, a limb behind the other
    Scratch<char> present;
    Scratch<std::int32_t> sums;                     // (g limbs, x limbs, taps, g blocks, x lanes, 16)
    Scratch<std::int32_t> sum_g;                    // (g limbs, taps, g lanes)
    Scratch<std::int32_t> sum_x;                    // (x limbs, taps, x lanes), of byte - 128
    Scratch<std::int64_t> total, total_g, total_x;  // the same, wide
    Scratch<std::int32_t*> targets;                 // (kh)
    Scratch<const std::int32_t*> sets;              // of the first thread: where the threads' sums lie
    Scratch<std::uint8_t> nothing;                  // tiles: codes where there is none, of x and of g
    WinogradGradient::State winograd;
    std::int64_t pending = 0;         // positions since the narrow sums were added to the wide ones
    bool used = false, wide = false;  // wide: the totals are in use
    bool fresh = false;               // tiles: the narrow sums hold nothing yet

    template <typename Visit>
    static void each_scratch(Partial& a, const Partial& b, const Visit& visit) {
      visit(a.x, b.x);
      visit(a.g, b.g);
      visit(a.present, b.present);
      visit(a.sums, b.sums);
      visit(a.total, b.total);
      visit(a.total_g, b.total_g);
      visit(a.total_x, b.total_x);
      visit(a.targets, b.targets);
      visit(a.sets, b.sets);
      visit(a.nothing, b.nothing);
      visit(a.sum_g, b.sum_g);
      visit(a.sum_x, b.sum_x);
      WinogradGradient::State::each_scratch(a.winograd, b.winograd, visit);
    }
  };

  void clear(int x_limbs, int g_limbs, Partial& partial) const;
  /// Images of codes x (h, w, c) and g (out_h, out_w, o), one behind the other; count <= images_at_once(). short_row:
  /// pixels of the last row where it is shorter than w, or 0 (KernelShape).
  void add(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
           std::int64_t short_row, Partial& partial) const;
  /// The two halves of add(): codes to groups of pixels and their sums; products of what was staged, added to sums.
  void stage(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
             std::int64_t short_row, Partial& partial) const;
  void accumulate(const KernelTable& kernels, std::int64_t count, const Partial& staged, std::int32_t* sums) const;
  /// Elements of sums of one pair of limbs.
  std::int64_t sums_size() const { return shape_.kh * shape_.kw * g_lanes_ * x_lanes_; }
  /// dw (o, kh, kw, c) of all images from all threads' sums.
  void finish(const KernelTable& kernels, Workers& workers, std::vector<Partial>& partials, const KernelShape& images,
              const Operand& x, const Operand& g, float* dw) const;

 private:
  void flush(Partial& partial) const;
  void stage_g(const KernelTable& kernels, const std::uint8_t* g, std::int64_t count, std::int64_t short_row, int limb,
               Partial& partial) const;
  void stage_x(const KernelTable& kernels, const std::uint8_t* x, std::int64_t count, std::int64_t short_row, int limb,
               Partial& partial) const;
  void plan_tiles();
  void stage_tiles(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
                   std::int64_t short_row, Partial& partial) const;
  void accumulate_tiles(const KernelTable& kernels, std::int64_t count, const Partial& staged,
                        std::int32_t* sums) const;
  /// Of `count` images: steps of 64 positions; bytes of a lane of x.
  std::int64_t tile_steps(std::int64_t count) const { return (count * image_positions_ + 63) / 64; }
  std::int64_t tile_plane(std::int64_t count) const;
  /// Does any thread add up more positions than its narrow sums hold?
  bool needs_totals() const { return !tiles_ || shape_.n * shape_.out_h() * shape_.out_w() > kMaxPositions; }
  /// Where the sums of a g limb's codes lie, and of an x limb's; tiles: among the products.
  std::int64_t sum_g_at(int limb, int x_limbs, std::int64_t tap, std::int64_t o) const;
  std::int64_t sum_x_at(int limb, std::int64_t tap, std::int64_t c) const;

  ConvShape shape_;
  std::int64_t x_pitch_ = 0, g_pitch_ = 0;
  std::int64_t group_ = 4, steps_ = 0, x_lanes_ = 0, g_lanes_ = 0, staged_rows_ = 0;
  std::int64_t x_row_ = 0, x_copy_ = 0, x_image_ = 0, g_row_ = 0, g_image_ = 0;  // bytes
  std::int64_t images_at_once_ = 1;
  std::vector<TapRectangle> valid_;  // (taps)
  bool has_winograd_ = false;        // which makes the products, before they are added to the narrow sums
  WinogradGradient winograd_;
  bool tiles_ = false;
  std::int64_t tile_columns_ = 0, image_positions_ = 0;
  std::vector<std::vector<std::int32_t>> x_pixels_;  // (phases, positions): the pixel, -1 where there is none
  std::vector<std::int32_t> g_pixels_;               // (positions)
};

}  // namespace bitcycle::cpu
