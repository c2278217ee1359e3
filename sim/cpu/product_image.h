// SPDX-License-Identifier: Apache-2.0
// One image of a product: codes staged, rows of sums, rows of values; and what follows is called as soon as some rows
// are complete, while they are in the cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/packed_product.h"
#include "sim/cpu/scratch.h"

namespace bitcycle::cpu {

/// What one thread needs to run a product.
struct ProductScratch {
  Scratch<char> staged[2];  // of each byte of the codes
  Scratch<std::int32_t> channel_sums[2], sums[2], position_sums;
  WinogradScratch winograd;
  const PackedProduct* margins_of = nullptr;  // whose margins `staged` and `channel_sums` hold

  template <typename Visit>
  static void each_scratch(ProductScratch& a, const ProductScratch& b, const Visit& visit) {
    for (int i = 0; i < 2; ++i) {
      visit(a.staged[i], b.staged[i]);
      visit(a.channel_sums[i], b.channel_sums[i]);
      visit(a.sums[i], b.sums[i]);
    }
    visit(a.position_sums, b.position_sums);
    WinogradScratch::each_scratch(a.winograd, b.winograd, visit);
  }
};

/// The coefficients of this operation: value = fl32(fma(a, acc, fma(b, position sum, offset))).
struct ProductCoefficients {
  Scratch<double> a, b, offset;  // (lanes), (lanes), (classes, lanes)
};

/// Codes (in_h, in_w, in_c), each byte of them by itself, into channel groups; channel sums beside them.
/// short_row: pixels of a row that is shorter than in_w, or 0 (KernelShape).
inline void stage_image(const KernelTable& kernels, const PackedProduct& p, const ByteCodes& codes,
                        std::int64_t short_row, ProductScratch& scratch) {
  const std::int64_t sums_size = p.staged_rows * p.staged_columns();
  const PackedProduct* const margins = p.staged_as != nullptr ? p.staged_as : &p;
  if (scratch.margins_of != margins) {
    scratch.margins_of = margins;
    for (int i = 0; i < codes.limbs; ++i) {
      scratch.staged[i].zeroed(p.staged_bytes());
      scratch.channel_sums[i].zeroed(sums_size);
    }
  }
  StageChannels stage;
  stage.pixels = short_row == 0 ? p.in_w : short_row;
  stage.pixel_step = p.pixel_in();
  stage.channels = p.in_c;
  stage.margin = p.margin_column;
  stage.phases = p.column_phases;
  stage.columns = p.columns;
  stage.plane = p.plane;
  stage.phase_pitch = p.phase_pitch;
  for (int i = 0; i < codes.limbs; ++i) {
    for (std::int64_t r = 0; r < p.in_h; ++r) {
      stage.row = codes.limb[i] + r * p.in_w * p.pixel_in();
      stage.out = scratch.staged[i].data() + (r + p.margin_row) * p.row_pitch;
      kernels.stage_channels(stage);
      std::int32_t* sums = scratch.channel_sums[i].data() + (r + p.margin_row) * p.staged_columns();
      for (std::int64_t phase = 0; phase < p.column_phases; ++phase) {
        kernels.channel_sums(
            {stage.out + phase * p.phase_pitch, p.groups, p.plane, p.columns, sums + phase * p.columns});
      }
    }
  }
}

/// Output rows that are handed on together: some 8 KiB.
inline std::int64_t rows_at_once(const PackedProduct& p) {
  return std::clamp<std::int64_t>(2048 / (p.out_w * p.out_c), 1, p.out_h);
}

/// A row's product, but for where it reads and writes.
inline RowProduct row_product_of(const PackedProduct& p, const ProductPhase& phase) {
  RowProduct row;
  row.offsets = phase.offsets.data();
  row.taps = static_cast<std::int64_t>(phase.offsets.size());
  row.groups = phase.run_groups;
  row.pixel_step = p.pixel_step;
  row.plane = p.plane;
  row.weights = p.packed.data() + phase.weights_begin * p.limbs;
  row.block_stride = phase.block_bytes();
  row.blocks = p.blocks * p.limbs;
  row.pixels = phase.pixels;
  return row;
}

/// Where output row i of a phase begins in the staged image.
inline const char* row_origin(const PackedProduct& p, const ProductPhase& phase, const ProductScratch& scratch,
                              std::int64_t i, int limb = 0) {
  const std::int64_t column_bytes = p.pixel_step / p.column_step;
  return scratch.staged[limb].data() + (phase.origin_row + i * phase.row_step) * p.row_pitch +
         phase.origin_column * column_bytes;
}

/// One image of codes to values; done(first row, rows, their values) follows. out holds the whole image, or is null:
/// then values live in `some`, a buffer of thread's own, until done() returns.
template <typename Done>
void product_image(const KernelTable& kernels, const PackedProduct& p, const ProductCoefficients& coefficients,
                   const ByteCodes& codes, std::int64_t short_row, float* out, Scratch<float>& some,
                   ProductScratch& scratch, const Done& done) {
  stage_image(kernels, p, codes, short_row, scratch);
  // Several phases complete a row together: only the whole image is handed on.
  const std::int64_t batch = p.phases.size() == 1 ? rows_at_once(p) : p.out_h;
  const std::int64_t row_size = p.out_w * p.pixel_out();
  float* const kept = out == nullptr ? some.need(batch * row_size) : nullptr;
  const auto row_values = [&](std::int64_t row) {
    return kept == nullptr ? out + row * row_size : kept + row % batch * row_size;
  };
  for (const auto& phase : p.phases) {
    if (phase.rows == 0 || phase.pixels == 0) continue;
    const std::int64_t pixels = short_row == 0 ? phase.pixels : short_row;
    RowProduct row = row_product_of(p, phase);
    std::int32_t* sums[2] = {nullptr, nullptr};
    constexpr std::int64_t kTilePixels = 16;
    const std::int64_t together = p.rows_of_sums(phase);
    const std::int64_t most = together * p.columns + kTilePixels;
    for (int limb = 0; limb < codes.limbs; ++limb) {
      sums[limb] = scratch.sums[limb].need(most * p.lanes * p.limbs);
    }
    const bool narrow = codes.limbs == 1 && p.limbs == 1;
    BoxSums box;
    box.offsets = phase.sum_offsets.data();
    box.taps = static_cast<std::int64_t>(phase.tap.size());
    box.pixels = pixels;
    box.step = p.column_step;
    std::int32_t* const position_sums = scratch.position_sums.need(2 * phase.pixels);
    RescaleRow rescale;
    rescale.pixels = pixels;
    rescale.channels = p.out_c;
    rescale.lanes = p.lanes;
    rescale.w_limbs = p.limbs;
    rescale.correction32 = p.correction32.data();
    rescale.correction = p.correction.data();
    rescale.offset = coefficients.offset.data();
    rescale.a = coefficients.a.data();
    rescale.b = coefficients.b.data();
    rescale.position_sums = position_sums;
    rescale.weight_offset = p.weight_offset;
    rescale.out_step = phase.step * p.pixel_out();
    std::int64_t waiting = 0;
    for (std::int64_t i = 0; i < phase.rows; ++i) {
      const std::int64_t staged_row = phase.origin_row + i * phase.row_step;
      const std::int64_t out_row = phase.first_row + i * phase.step;
      const std::int64_t table = p.row_class[static_cast<std::size_t>(out_row)] * phase.pixels;
      const std::int64_t within = i % together;
      for (int limb = 0; limb < codes.limbs; ++limb) {
        if (within == 0 && p.by_winograd) {
          p.winograd.rows(kernels, row_origin(p, phase, scratch, i, limb), std::min(together, phase.rows - i),
                          sums[limb], p.columns * p.lanes, scratch.winograd);
        } else if (within == 0) {
          row.x = row_origin(p, phase, scratch, i, limb);
          row.sums = sums[limb];
          row.pixels = (std::min(together, phase.rows - i) - 1) * p.columns + pixels;
          kernels.row_product(row);
        }
        box.sums = scratch.channel_sums[limb].data() + staged_row * p.staged_columns() + phase.origin_column;
        box.addend = phase.addend.data() + table;
        box.out = position_sums + limb * phase.pixels;
        kernels.box_sums(box);
      }
      for (std::int64_t pixel = 0; pixel < pixels && codes.limbs == 2; ++pixel) {
        position_sums[pixel] += 256 * position_sums[phase.pixels + pixel];
      }
      const std::int64_t first_sum = within * p.columns * p.lanes * p.limbs;
      rescale.sums = sums[0] + first_sum;
      rescale.high_sums = codes.limbs == 2 ? sums[1] + first_sum : nullptr;
      rescale.columns = phase.columns.data() + table;
      rescale.out = row_values(out_row) + phase.first_column * p.pixel_out();
      if (narrow) {
        kernels.rescale_narrow(rescale);
      } else {
        kernels.rescale_limbs(rescale);
      }
      ++waiting;
      if (p.phases.size() == 1 && (waiting == batch || i + 1 == phase.rows)) {
        done(out_row + 1 - waiting, waiting, row_values(out_row + 1 - waiting));
        waiting = 0;
      }
    }
  }
  if (p.phases.size() != 1) done(0, p.out_h, row_values(0));
}

}  // namespace bitcycle::cpu
