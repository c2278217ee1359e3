// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/deep_product.h"

#include <algorithm>
#include <bit>

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kSliceTerms = 2048;                  // whose packed weights stay in a cache near the core
constexpr std::int64_t kMostSliceTerms = kMaxTwoByteDepth;  // that sums of 32 bits hold
constexpr std::int64_t kSliceRows = 64;                     // that are multiplied together

}  // namespace

bool DeepProduct::takes(int x_limbs, int w_limbs, std::int64_t depth) {
  if (x_limbs == 0 || w_limbs == 0) return false;
  return 8 * (x_limbs + w_limbs) + 1 + static_cast<int>(std::bit_width(static_cast<std::uint64_t>(depth))) <= 53;
}

void DeepProduct::slice(const KernelTable& kernels, const DeepOperands& of, std::int64_t begin, std::int64_t end,
                        Thread& thread) const {
  const std::int64_t terms = end - begin, groups = (terms + kernels.group - 1) / kernels.group;
  const std::int64_t run_groups = kernels.tiles ? (groups + 15) / 16 * 16 : groups;
  const std::int64_t blocks = lanes_ / kLanes, block_bytes = run_groups * kBlockBytes;
  char* const packed = thread.packed.zeroed(of.w_limbs * blocks * block_bytes);
  std::int64_t* const some_weights = thread.some_weights.need(lanes_);
  for (int limb = 0; limb < of.w_limbs; ++limb) {
    for (std::int64_t block = 0; block < blocks; ++block) {
      PackTap tap;
      const std::int64_t first = begin * of.outputs + block * kLanes;
      if (of.w8 != nullptr) {
        tap.codes8 = of.w8 + first;
      } else {
        tap.codes = of.w + first;
      }
      tap.out_step = 1;
      tap.in_step = of.outputs;
      tap.lanes = std::min(kLanes, of.outputs - block * kLanes);
      tap.channels = terms;
      tap.offset = of.offset;
      tap.shift = 8 * limb;
      tap.out = packed + (limb * blocks + block) * block_bytes;
      tap.sums = limb == 0 ? some_weights + block * kLanes : nullptr;
      kernels.pack_tap(tap);
    }
  }
  for (std::int64_t l = 0; l < lanes_; ++l) thread.weights.data()[l] += l < of.outputs ? some_weights[l] : 0;

  const std::int64_t row_sums = of.w_limbs * lanes_, zero = 0;
  const std::int64_t staged_bytes = (kSliceRows + 32) * groups * 4 + 64;
  // What fills up groups is not written, and counts as nothing in the codes' sums.
  char* const staged = terms % 4 == 0 ? thread.staged.need(staged_bytes) : thread.staged.zeroed(staged_bytes);
  std::int32_t* const some = thread.some.need((kSliceRows + kLanes) * row_sums);
  std::int32_t* const positions = thread.some_positions.need(kSliceRows);
  for (std::int64_t first = 0; first < of.rows; first += kSliceRows) {
    const std::int64_t rows = std::min(kSliceRows, of.rows - first);
    for (int limb = 0; limb < of.x_limbs; ++limb) {
      StageChannels stage;
      stage.row = static_cast<const std::uint8_t*>(of.x) + first * of.depth + begin;
      stage.pixel_step = of.depth;
      if (of.x_limbs == 2) {  // both bytes are made for each: nobody is in a hurry here
        std::uint8_t* byte[2] = {thread.bytes[0].need(kSliceRows * terms), thread.bytes[1].need(kSliceRows * terms)};
        for (std::int64_t r = 0; r < rows; ++r) {
          kernels.split_words(static_cast<const std::uint16_t*>(of.x) + (first + r) * of.depth + begin, terms,
                              byte[0] + r * terms, byte[1] + r * terms);
        }
        stage.row = byte[limb];
        stage.pixel_step = terms;
      }
      stage.pixels = stage.columns = rows;
      stage.channels = terms;
      stage.plane = rows * 4;
      stage.phase_pitch = groups * stage.plane;
      stage.out = staged;
      kernels.stage_channels(stage);
      kernels.channel_sums({staged, groups, stage.plane, rows, positions});
      for (std::int64_t r = 0; r < rows; ++r) {
        thread.positions.data()[first + r] += (positions[r] + 128 * terms) << (8 * limb);
      }
      RowProduct row;
      row.x = staged;
      row.offsets = &zero;
      row.taps = 1;
      row.groups = run_groups;
      row.pixel_step = kernels.tiles ? groups * 4 : 4;
      row.plane = stage.plane;
      row.weights = packed;
      row.block_stride = block_bytes;
      row.blocks = of.w_limbs * blocks;
      row.pixels = rows;
      row.sums = some;
      kernels.row_product(row);
      std::int32_t* const sums = thread.sums.data() + (limb * of.rows + first) * row_sums;
      for (std::int64_t i = 0; i < rows * row_sums; ++i) sums[i] += some[i];
    }
  }
}

void DeepProduct::run(const KernelTable& kernels, Workers& workers, const DeepOperands& of) {
  lanes_ = lanes_for(of.outputs);
  threads_.resize(static_cast<std::size_t>(workers.threads()));
  level(threads_);
  const std::int64_t row_sums = of.w_limbs * lanes_, all = of.x_limbs * of.rows * row_sums;
  std::int64_t* const whole = whole_.zeroed(of.rows * lanes_);
  std::int64_t* const whole_positions = whole_positions_.zeroed(of.rows);
  std::int64_t* const whole_weights = whole_weights_.zeroed(lanes_);
  // Several shares a thread, each of whole slices.
  const std::int64_t share = of.depth / (8 * workers.threads()) / kSliceTerms * kSliceTerms;
  workers.chunks(
      of.depth, std::clamp(share, kSliceTerms, kMostSliceTerms), [&](int number, std::int64_t begin, std::int64_t end) {
        Thread& thread = threads_[static_cast<std::size_t>(number)];
        thread.sums.zeroed(all);
        thread.positions.zeroed(of.rows);
        thread.weights.zeroed(lanes_);
        for (std::int64_t at = begin; at < end; at += kSliceTerms) {
          slice(kernels, of, at, std::min(end, at + kSliceTerms), thread);
        }
        const std::lock_guard lock(adding_);
        for (int x_limb = 0; x_limb < of.x_limbs; ++x_limb) {
          for (std::int64_t r = 0; r < of.rows; ++r) {
            for (int w_limb = 0; w_limb < of.w_limbs; ++w_limb) {
              const std::int32_t* from = thread.sums.data() + (x_limb * of.rows + r) * row_sums + w_limb * lanes_;
              const std::int64_t weight = std::int64_t{1} << (8 * (x_limb + w_limb));
              for (std::int64_t l = 0; l < lanes_; ++l) whole[r * lanes_ + l] += weight * from[l];
            }
          }
        }
        for (std::int64_t r = 0; r < of.rows; ++r) whole_positions[r] += thread.positions.data()[r];
        for (std::int64_t l = 0; l < lanes_; ++l) whole_weights[l] += thread.weights.data()[l];
      });

  // Bytes of x less 128 were multiplied, with w + offset.
  double* const sums = sums_.need(of.rows * lanes_);
  double* const position_sums = position_sums_.need(of.rows);
  double* const weight_sums = weight_sums_.need(lanes_);
  const std::int64_t shift = of.x_limbs == 2 ? 128 * 257 : 128;
  for (std::int64_t l = 0; l < lanes_; ++l) weight_sums[l] = static_cast<double>(whole_weights[l]);
  for (std::int64_t r = 0; r < of.rows; ++r) {
    position_sums[r] = static_cast<double>(whole_positions[r]);
    for (std::int64_t l = 0; l < lanes_; ++l) {
      const std::int64_t shifted = whole[r * lanes_ + l] + shift * (whole_weights[l] + of.offset * of.depth);
      sums[r * lanes_ + l] = static_cast<double>(shifted - of.offset * whole_positions[r]);
    }
  }
}

}  // namespace bitcycle::cpu
