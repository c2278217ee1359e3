// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/packed_product.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace bitcycle::cpu {
namespace {

/// Taps 0..kernel-1 that exist at each output position, as a list of distinct sets and the set of each position.
struct Classes {
  std::vector<std::vector<std::int64_t>> taps;  // (classes)
  std::vector<std::int64_t> of_position;
};

template <typename Exists>
Classes classes_of(std::int64_t positions, std::int64_t kernel, const Exists& exists) {
  Classes classes;
  std::map<std::vector<std::int64_t>, std::int64_t> known;
  for (std::int64_t p = 0; p < positions; ++p) {
    std::vector<std::int64_t> taps;
    for (std::int64_t k = 0; k < kernel; ++k) {
      if (exists(p, k)) taps.push_back(k);
    }
    const auto [entry, fresh] = known.emplace(taps, static_cast<std::int64_t>(classes.taps.size()));
    if (fresh) classes.taps.push_back(taps);
    classes.of_position.push_back(entry->second);
  }
  return classes;
}

/// Does tap k of output position p lie inside the operand of `size`?
bool exists_forward(std::int64_t p, std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t size) {
  const std::int64_t i = p * stride - padding + k;
  return i >= 0 && i < size;
}
bool exists_error(std::int64_t p, std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t size) {
  const std::int64_t i = p + padding - k;
  return i >= 0 && i % stride == 0 && i / stride < size;
}

}  // namespace

PackedProduct::PackedProduct(const ConvShape& s, bool error_pass, std::int64_t group_size)
    : in_h(error_pass ? s.out_h() : s.h),
      in_w(error_pass ? s.out_w() : s.w),
      in_c(error_pass ? s.o : s.c),
      out_h(error_pass ? s.h : s.out_h()),
      out_w(error_pass ? s.w : s.out_w()),
      out_c(error_pass ? s.c : s.o),
      kh(s.kh),
      kw(s.kw),
      group(group_size),
      groups((in_c + group - 1) / group),
      lanes(lanes_for(out_c)),
      blocks(lanes / kLanes) {
  const std::int64_t stride = s.stride;
  if (error_pass) {
    margin_row = (kh - 1) / stride;
    margin_column = (kw - 1) / stride;
    staged_rows = margin_row + std::max(in_h, (s.h - 1 + s.padding) / stride + 1);
    columns = margin_column + std::max(in_w, (s.w - 1 + s.padding) / stride + 1);
  } else {
    margin_row = margin_column = s.padding;
    column_phases = stride;
    staged_rows = in_h + 2 * s.padding;
    columns = (in_w + 2 * s.padding + stride - 1) / stride;
  }
  plane = columns * 4;
  phase_pitch = groups * plane;
  row_pitch = column_phases * phase_pitch;

  const auto exists = error_pass ? exists_error : exists_forward;
  const Classes rows = classes_of(out_h, kh, [&](auto p, auto k) { return exists(p, k, stride, s.padding, in_h); });
  const Classes cols = classes_of(out_w, kw, [&](auto p, auto k) { return exists(p, k, stride, s.padding, in_w); });
  row_class = rows.of_position;
  row_classes = static_cast<std::int64_t>(rows.taps.size());
  column_classes = static_cast<std::int64_t>(cols.taps.size());
  for (const auto& row_taps : rows.taps) {
    for (const auto& column_taps : cols.taps) {
      std::vector<std::int64_t> taps;
      for (const auto i : row_taps) {
        for (const auto j : column_taps) taps.push_back(i * kw + j);
      }
      terms.push_back(static_cast<double>(static_cast<std::int64_t>(taps.size()) * in_c));
      class_taps.push_back(std::move(taps));
    }
  }

  const std::int64_t count = error_pass ? stride : 1;
  for (std::int64_t ph = 0; ph < count; ++ph) {
    for (std::int64_t pw = 0; pw < count; ++pw) {
      ProductPhase phase;
      phase.step = count;
      if (error_pass) {
        phase.first_row = ((ph - s.padding) % stride + stride) % stride;
        phase.first_column = ((pw - s.padding) % stride + stride) % stride;
        phase.origin_row = (phase.first_row + s.padding - ph) / stride + margin_row;
        phase.origin_column = (phase.first_column + s.padding - pw) / stride + margin_column;
      } else {
        phase.row_step = stride;
      }
      phase.rows = phase.first_row < out_h ? (out_h - phase.first_row + count - 1) / count : 0;
      phase.pixels = phase.first_column < out_w ? (out_w - phase.first_column + count - 1) / count : 0;
      for (std::int64_t i = error_pass ? ph : 0; i < kh; i += count) {
        for (std::int64_t j = error_pass ? pw : 0; j < kw; j += count) {
          phase.tap.push_back(i * kw + j);
          if (error_pass) {
            const std::int64_t up = (i - ph) / stride, left = (j - pw) / stride;
            phase.offsets.push_back(-up * row_pitch - left * 4);
            phase.sum_offsets.push_back(-up * staged_columns() - left);
          } else {
            phase.offsets.push_back(i * row_pitch + j % stride * phase_pitch + j / stride * 4);
            phase.sum_offsets.push_back(i * staged_columns() + j % stride * columns + j / stride);
          }
        }
      }
      phase.weights_begin = limb_bytes;
      limb_bytes += blocks * static_cast<std::int64_t>(phase.tap.size()) * groups * kBlockBytes;
      for (std::int64_t r = 0; r < row_classes; ++r) {
        for (std::int64_t p = 0; p < phase.pixels; ++p) {
          const std::int64_t column = cols.of_position[static_cast<std::size_t>(phase.first_column + p * count)];
          const std::int64_t index = r * column_classes + column;
          phase.columns.push_back(index * lanes);
          phase.addend.push_back(static_cast<std::int32_t>(128.0 * terms[static_cast<std::size_t>(index)]));
        }
      }
      phases.push_back(std::move(phase));
    }
  }
}

void PackedProduct::put(char* out, std::int64_t lane, std::int64_t element, std::uint32_t value) const {
  if (group == 4) {
    out[4 * lane + element] = static_cast<char>(value);
  } else {
    const auto word = static_cast<std::int16_t>(value);
    std::memcpy(out + 4 * lane + 2 * element, &word, sizeof word);
  }
}

void product_image(const KernelTable& kernels, const PackedProduct& product, const ProductCoefficients& coefficients,
                   const std::uint8_t* codes, float* out, ProductScratch& scratch) {
  const PackedProduct& p = product;
  char* staged = scratch.staged.zeroed(p.staged_bytes());
  std::int32_t* channel_sums = scratch.channel_sums.zeroed(p.staged_rows * p.staged_columns());
  for (std::int64_t r = 0; r < p.in_h; ++r) {
    StageChannels stage;
    stage.row = codes + r * p.in_w * p.in_c;
    stage.pixels = p.in_w;
    stage.pixel_step = p.in_c;
    stage.channels = p.in_c;
    stage.margin = p.margin_column;
    stage.phases = p.column_phases;
    stage.columns = p.columns;
    stage.plane = p.plane;
    stage.phase_pitch = p.phase_pitch;
    stage.out = staged + (r + p.margin_row) * p.row_pitch;
    kernels.stage_channels(stage);
    for (std::int64_t phase = 0; phase < p.column_phases; ++phase) {
      kernels.channel_sums({stage.out + phase * p.phase_pitch, p.groups, p.plane, p.columns,
                            channel_sums + (r + p.margin_row) * p.staged_columns() + phase * p.columns});
    }
  }
  for (const auto& phase : p.phases) {
    if (phase.rows == 0 || phase.pixels == 0) continue;
    std::int32_t* sums = scratch.sums.need(phase.pixels * p.lanes * p.limbs);
    std::int32_t* position_sums = scratch.position_sums.need(phase.pixels);
    RowProduct row;
    row.offsets = phase.offsets.data();
    row.taps = static_cast<std::int64_t>(phase.tap.size());
    row.groups = p.groups;
    row.plane = p.plane;
    row.weights = p.packed.data() + phase.weights_begin * p.limbs;
    row.block_stride = row.taps * p.groups * kBlockBytes;
    row.blocks = p.blocks * p.limbs;
    row.pixels = phase.pixels;
    row.sums = sums;
    BoxSums box;
    box.offsets = phase.sum_offsets.data();
    box.taps = row.taps;
    box.pixels = phase.pixels;
    box.out = position_sums;
    RescaleRow rescale;
    rescale.sums = sums;
    rescale.pixels = phase.pixels;
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
    rescale.out_step = phase.step * p.out_c;
    for (std::int64_t i = 0; i < phase.rows; ++i) {
      const std::int64_t staged_row = phase.origin_row + i * phase.row_step;
      const std::int64_t out_row = phase.first_row + i * phase.step;
      const std::int64_t table = p.row_class[static_cast<std::size_t>(out_row)] * phase.pixels;
      row.x = staged + staged_row * p.row_pitch + phase.origin_column * 4;
      kernels.row_product(row);
      box.sums = channel_sums + staged_row * p.staged_columns() + phase.origin_column;
      box.addend = phase.addend.data() + table;
      kernels.box_sums(box);
      rescale.columns = phase.columns.data() + table;
      rescale.out = out + (out_row * p.out_w + phase.first_column) * p.out_c;
      if (p.limbs == 1) {
        kernels.rescale_narrow(rescale);
      } else {
        kernels.rescale_limbs(rescale);
      }
    }
  }
}

}  // namespace bitcycle::cpu
