// SPDX-License-Identifier: Apache-2.0
// Products of two activations as integers on the kernels of matrix products, head by head (docs/numerics.md, 6.11). One
// operand is arranged as weights are, the other is streamed; pairs that do not exist are staged as nothing. Codes of 9
// to 16 bits are two bytes each (byte_limbs.h), wider ones run the reference loops.
#include <algorithm>
#include <type_traits>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/head_product.h"
#include "sim/cpu/nodes.h"
#include "sim/device/fused_operations.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kLongest = 33025;     // terms of which every sum of 8 x 8 bits fits an int32
constexpr std::uint8_t kNoPair = 128;        // code - 128 is what is multiplied
constexpr std::int64_t kGroupsOfTiles = 16;  // that products by tiles take together

/// What a product reads, and the bytes of a code.
struct PairCodes {
  const void* codes = nullptr;
  const Affine* grid = nullptr;
  int limbs = 0;  // 0: none of these kernels

  PairCodes(const ops::Quantised& operand, const StepMemory& memory)
      : grid(&memory.value<Affine>(operand.grid)), limbs(byte_limbs(memory.value<BitWidth>(operand.width))) {
    if (limbs == 1) codes = memory.data<std::uint8_t>(operand.codes);
    if (limbs == 2) codes = memory.data<std::uint16_t>(operand.codes);
  }
  /// visit(codes), of bytes or words.
  template <typename Visit>
  void visit(const Visit& visit) const {
    limbs == 1 ? visit(static_cast<const std::uint8_t*>(codes)) : visit(static_cast<const std::uint16_t*>(codes));
  }
};

/// The streamed codes of a head, row by row, each byte of them in its own matrix, and the sum of each row's.
template <typename Code>
void stream_codes(const KernelTable& kernels, const HeadProduct& of, const Code* lhs, std::uint8_t* const (&out)[2],
                  std::int32_t* sums) {
  constexpr bool kWords = sizeof(Code) == 2;
  for (std::int64_t r = 0; r < of.rows; ++r) {
    const std::int64_t first = of.first(r), count = of.count(r), at = r * of.depth;
    const auto nothing = [&](std::int64_t begin, std::int64_t terms) {
      for (int limb = 0; limb < (kWords ? 2 : 1); ++limb) std::fill_n(out[limb] + at + begin, terms, kNoPair);
    };
    std::int32_t sum = 0;
    if (of.form == ops::PairForm::kColumns) {
      nothing(0, first);
      for (std::int64_t i = first; i < of.depth; ++i) {
        const Code code = lhs[of.pairs + i * of.shape->n + r];
        out[0][at + i] = static_cast<std::uint8_t>(code);
        if constexpr (kWords) out[1][at + i] = static_cast<std::uint8_t>(code >> 8);
        sum += code;
      }
    } else {
      const Code* row =
          lhs + (of.form == ops::PairForm::kPairs ? of.rows_at + r * of.step : of.pairs + r * of.shape->n);
      if constexpr (kWords) {
        kernels.split_words(row, count, out[0] + at, out[1] + at);
      } else {
        std::copy_n(row, count, out[0] + at);
      }
      nothing(count, of.depth - count);
      for (std::int64_t k = 0; k < count; ++k) sum += row[k];
    }
    sums[r] = sum;
  }
}

/// One head on one thread.
class IntegerHead {
 public:
  IntegerHead(const KernelTable& kernels, NodeScratch& scratch, const HeadProduct& p, const PairCodes& lhs,
              const PairCodes& rhs)
      : kernels_(kernels),
        scratch_(scratch),
        p_(p),
        lhs_(lhs),
        rhs_(rhs),
        pairs_(p.form == ops::PairForm::kPairs),
        by_row_(!pairs_ && p.shape->causal),
        narrow_(lhs.limbs == 1 && rhs.limbs == 1),
        lanes_(lanes_for(p.lanes)),
        groups_((p.depth + kernels.group - 1) / kernels.group),
        run_groups_(kernels.tiles ? (groups_ + kGroupsOfTiles - 1) / kGroupsOfTiles * kGroupsOfTiles : groups_) {}

  void run(float* y) {
    pack();
    std::uint8_t* codes = scratch_.codes.need(lhs_.limbs * p_.rows * p_.depth);
    streamed_[0] = codes;
    streamed_[1] = codes + p_.rows * p_.depth;
    row_sums_ = scratch_.row_sums.need(p_.rows);
    lhs_.visit([&](const auto* of) { stream_codes(kernels_, p_, of, streamed_, row_sums_); });

    const ProductScale scale = product_scale(*lhs_.grid, *rhs_.grid);
    double* const scales = scratch_.scales.need(2 * lanes_);
    std::fill_n(scales, lanes_, scale.a);
    std::fill_n(scales + lanes_, lanes_, scale.b);
    const std::int64_t classes = by_row_ ? kStreamRows : 1;
    if (narrow_) corrections32_ = scratch_.corrections.need(classes * lanes_);
    // What is added for the codes' shift, and behind it the offsets.
    corrections_ = scratch_.offsets.need(2 * classes * lanes_);
    offsets_ = corrections_ + classes * lanes_;
    if (!by_row_) prepare(0, p_.depth);
    for (std::int64_t begin = 0; begin < p_.rows; begin += kStreamRows) {
      const std::int64_t rows = std::min(kStreamRows, p_.rows - begin);
      std::int64_t* const columns = scratch_.columns.need(kStreamRows);
      for (std::int64_t r = 0; r < rows; ++r) {
        columns[r] = by_row_ ? r * lanes_ : 0;
        if (by_row_) follow(begin + r, r);
      }
      float* const out = y + p_.out_at() + begin * p_.out_step();
      multiply(begin, rows, scales, columns, out);
      for (std::int64_t r = 0; pairs_ && r < rows; ++r) {
        std::fill(out + r * p_.out_step() + p_.results(begin + r), out + r * p_.out_step() + p_.lanes, 0.0F);
      }
    }
  }

 private:
  /// The other operand as weights, lane l and term k: blocks of 16 lanes, each byte of a code a block of its own.
  void pack() {
    integers_ = scratch_.integers.need(p_.depth * p_.lanes);
    const std::int64_t run = pairs_ ? p_.depth : p_.lanes;
    rhs_.visit([&](const auto* codes) {
      codes += p_.other_at();
      for (std::int64_t l = 0; l < (pairs_ ? p_.lanes : p_.depth); ++l) {
        for (std::int64_t k = 0; k < run; ++k) integers_[l * run + k] = codes[l * p_.step + k];
      }
    });
    const std::int64_t block_bytes = run_groups_ * kBlockBytes;
    packed_ = scratch_.packed.zeroed(lanes_ / kLanes * rhs_.limbs * block_bytes);
    lane_sums_ = scratch_.wide.need(lanes_);
    for (std::int64_t block = 0; block < lanes_ / kLanes; ++block) {
      for (int limb = 0; limb < rhs_.limbs; ++limb) {
        PackTap tap;
        tap.out_step = pairs_ ? p_.depth : 1;
        tap.in_step = pairs_ ? 1 : p_.lanes;
        tap.codes = integers_ + block * kLanes * tap.out_step;
        tap.lanes = std::min(kLanes, p_.lanes - block * kLanes);
        tap.channels = p_.depth;
        tap.shift = 8 * limb;
        tap.out = packed_ + (block * rhs_.limbs + limb) * block_bytes;
        tap.sums = limb == 0 ? lane_sums_ + block * kLanes : nullptr;
        kernels_.pack_tap(tap);
      }
    }
  }

  /// What the other operand adds to results of `terms` terms, whose codes' sums lane_sums_ has.
  void prepare(std::int64_t at, std::int64_t terms) {
    for (std::int64_t l = 0; l < lanes_; ++l) {
      const std::int64_t sum = l < p_.lanes ? lane_sums_[l] : 0;
      if (narrow_) {
        corrections32_[at * lanes_ + l] = static_cast<std::int32_t>(128 * sum);
      } else {
        corrections_[at * lanes_ + l] = static_cast<double>(128 * sum);
      }
      offsets_[at * lanes_ + l] =
          product_offset(*lhs_.grid, *rhs_.grid, static_cast<double>(sum), static_cast<double>(terms));
    }
  }

  /// Sums over the terms that row r has: one term more than the row before (rows of pairs), or one less (columns).
  void follow(std::int64_t r, std::int64_t at) {
    const std::int64_t first = p_.first(r), count = p_.count(r);
    const auto add = [&](std::int64_t term, bool more) {
      for (std::int64_t l = 0; l < p_.lanes; ++l) {
        const std::int64_t code = integers_[term * p_.lanes + l];
        lane_sums_[l] += more ? code : -code;
      }
    };
    if (r == 0) {
      std::fill_n(lane_sums_, lanes_, 0);
      for (std::int64_t k = first; k < first + count; ++k) add(k, true);
    }
    for (; r > 0 && covered_ < count; ++covered_) add(covered_, true);
    for (; r > 0 && covered_ > count; --covered_) add(p_.depth - covered_, false);
    covered_ = count;
    prepare(at, count);
  }

  void multiply(std::int64_t begin, std::int64_t rows, const double* scales, const std::int64_t* columns, float* out) {
    const std::int64_t staged_bytes = (kernels_.tiles ? kStreamRows + 32 : kStreamRows) * groups_ * 4 + 64;
    char* const staged = scratch_.staged.need(lhs_.limbs * staged_bytes);
    StageChannels stage;
    stage.pixels = stage.columns = rows;
    stage.pixel_step = stage.channels = p_.depth;
    stage.plane = rows * 4;
    stage.phase_pitch = groups_ * stage.plane;
    for (int limb = 0; limb < lhs_.limbs; ++limb) {
      stage.row = streamed_[limb] + begin * p_.depth;
      stage.out = staged + limb * staged_bytes;
      kernels_.stage_channels(stage);
    }
    // Scores: no lanes beyond the last row's.
    const std::int64_t results = p_.results(begin + rows - 1), all = (results + kLanes - 1) / kLanes;
    // Where the weights have two bytes, a block of lanes at a time: both bytes' sums lie side by side.
    const std::int64_t at_once = rhs_.limbs == 1 ? all : 1;
    const std::int64_t sums_size = (kStreamRows + kLanes) * lanes_ * rhs_.limbs, zero = 0;
    std::int32_t* const sums = scratch_.sums.need(lhs_.limbs * sums_size);
    for (std::int64_t block = 0; block < all; block += at_once) {
      RowProduct row;
      row.offsets = &zero;
      row.taps = 1;
      row.groups = run_groups_;
      row.pixel_step = kernels_.tiles ? groups_ * 4 : 4;
      row.plane = stage.plane;
      row.block_stride = run_groups_ * kBlockBytes;
      row.weights = packed_ + block * rhs_.limbs * row.block_stride;
      row.blocks = at_once * rhs_.limbs;
      row.pixels = rows;
      for (int limb = 0; limb < lhs_.limbs; ++limb) {
        row.x = staged + limb * staged_bytes;
        row.sums = sums + limb * sums_size;
        kernels_.row_product(row);
      }
      RescaleRow rescale;
      rescale.sums = sums;
      rescale.high_sums = lhs_.limbs == 2 ? sums + sums_size : nullptr;
      rescale.pixels = rows;
      rescale.channels = std::min(results - block * kLanes, at_once * kLanes);
      rescale.lanes = at_once * kLanes;
      rescale.w_limbs = rhs_.limbs;
      rescale.columns = columns;
      if (narrow_) {
        rescale.correction32 = corrections32_;
      } else {
        rescale.correction = corrections_ + block * kLanes;
      }
      rescale.offset = offsets_ + block * kLanes;
      rescale.a = scales;
      rescale.b = scales + lanes_;
      rescale.position_sums = row_sums_ + begin;
      rescale.out = out + block * kLanes;
      rescale.out_step = p_.out_step();
      narrow_ ? kernels_.rescale_narrow(rescale) : kernels_.rescale_limbs(rescale);
    }
  }

  const KernelTable& kernels_;
  NodeScratch& scratch_;
  const HeadProduct& p_;
  const PairCodes &lhs_, &rhs_;
  const bool pairs_;
  const bool by_row_;  // what the other operand adds depends on the terms that exist: sums that grow from row to row
  const bool narrow_;  // single bytes
  const std::int64_t lanes_, groups_, run_groups_;
  std::int32_t *integers_ = nullptr, *row_sums_ = nullptr, *corrections32_ = nullptr;
  char* packed_ = nullptr;
  std::int64_t* lane_sums_ = nullptr;
  double *corrections_ = nullptr, *offsets_ = nullptr;
  std::uint8_t* streamed_[2] = {nullptr, nullptr};
  std::int64_t covered_ = 0;  // terms that lane_sums_ holds, from the end the first row needs most of
};

}  // namespace

void Nodes::run(const ops::PairProduct& op, const StepMemory& memory) { ops::run(op, memory); }

void Nodes::run(const ops::PairRescale& op, const StepMemory& memory) {
  const ops::PairContraction over = op.over.at(memory.at_samples(op.over.shape.samples));
  const PairCodes lhs(op.lhs, memory), rhs(op.rhs, memory);
  const std::int64_t longest = lhs.limbs == 1 && rhs.limbs == 1 ? kLongest : kMaxTwoByteDepth;
  if (lhs.limbs == 0 || rhs.limbs == 0 || over.depth() > longest) {
    ops::run(ops::PairProduct{op.lhs, op.rhs, op.over, op.sums}, memory);
    return ops::run(op, memory);
  }
  auto* const y = memory.data<float>(op.y);
  workers_.each(over.shape.samples * over.shape.heads, [&](int thread, std::int64_t head) {
    const HeadProduct product(over, head);
    IntegerHead(kernels_, of(thread), product, lhs, rhs).run(y);
  });
}

}  // namespace bitcycle::cpu
