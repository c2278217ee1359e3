// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/depthwise_product.h"

#include <cstring>

namespace bitcycle::cpu {
namespace {

/// Outputs of an axis by the set of their taps that exist.
struct Classes {
  std::vector<std::int64_t> of_output;
  std::vector<std::vector<std::int64_t>> taps;
};

template <typename Phases>
Classes classes_of(const Phases& phases, std::int64_t in, std::int64_t out) {
  Classes classes;
  classes.of_output.resize(static_cast<std::size_t>(out));
  for (const auto& phase : phases) {
    for (std::int64_t i = 0; i < phase.count; ++i) {
      std::vector<std::int64_t> taps;
      for (std::size_t k = 0; k < phase.taps.size(); ++k) {
        const std::int64_t source = phase.source + i * phase.source_step + static_cast<std::int64_t>(k);
        if (source >= 0 && source < in) taps.push_back(phase.taps[k]);
      }
      std::sort(taps.begin(), taps.end());
      const auto found = std::find(classes.taps.begin(), classes.taps.end(), taps);
      classes.of_output[static_cast<std::size_t>(phase.first + i * phase.step)] = found - classes.taps.begin();
      if (found == classes.taps.end()) classes.taps.push_back(std::move(taps));
    }
  }
  return classes;
}

}  // namespace

std::vector<DepthwiseProduct::Phase> DepthwiseProduct::phases_of(std::int64_t out, std::int64_t kernel,
                                                                 std::int64_t stride, std::int64_t padding,
                                                                 bool error_pass) {
  std::vector<Phase> phases;
  for (std::int64_t residue = 0; residue < (error_pass ? stride : 1); ++residue) {
    Phase phase;
    if (error_pass) {
      // Output i meets the taps k of i + padding - k = stride * input.
      phase.step = stride;
      phase.first = ((residue - padding) % stride + stride) % stride;
      phase.source = (phase.first + padding - residue) / stride;
      for (std::int64_t k = residue; k < kernel; k += stride) phase.taps.insert(phase.taps.begin(), k);
      phase.source += 1 - static_cast<std::int64_t>(phase.taps.size());
    } else {
      phase.source = -padding;
      phase.source_step = stride;
      for (std::int64_t k = 0; k < kernel; ++k) phase.taps.push_back(k);
    }
    phase.count = phase.first < out ? (out - phase.first + phase.step - 1) / phase.step : 0;
    if (phase.count > 0) phases.push_back(std::move(phase));
  }
  return phases;
}

DepthwiseProduct::DepthwiseProduct(const ConvShape& s, bool error_pass, const KernelTable& kernels)
    : lanes(lanes_for(s.c)),
      in_h_(error_pass ? s.out_h() : s.h),
      in_w_(error_pass ? s.out_w() : s.w),
      out_h_(error_pass ? s.h : s.out_h()),
      out_w_(error_pass ? s.w : s.out_w()),
      channels_(s.c),
      kh_(s.kh),
      kw_(s.kw),
      row_phases_(phases_of(out_h_, s.kh, s.stride, s.padding, error_pass)),
      has_quads_(kernels.stage_quads != nullptr) {
  const std::vector<Phase> columns = phases_of(out_w_, s.kw, s.stride, s.padding, error_pass);
  for (const Phase& phase : columns) margin_ = std::max(margin_, -phase.source);
  const Classes row_classes = classes_of(row_phases_, in_h_, out_h_);
  const Classes column_classes = classes_of(columns, in_w_, out_w_);
  row_class_ = row_classes.of_output;
  for (const auto& row_taps : row_classes.taps) {
    for (const auto& column_taps : column_classes.taps) {
      std::vector<std::int64_t> taps;
      for (const auto i : row_taps) {
        for (const auto j : column_taps) taps.push_back(i * kw_ + j);
      }
      terms.push_back(static_cast<double>(taps.size()));
      class_taps_.push_back(std::move(taps));
    }
  }
  for (const Phase& phase : columns) {
    ColumnPhase column{phase, {}};
    for (std::size_t r = 0; r < row_classes.taps.size(); ++r) {
      for (std::int64_t p = 0; p < phase.count; ++p) {
        const std::int64_t of = column_classes.of_output[static_cast<std::size_t>(phase.first + p * phase.step)];
        column.columns.push_back((static_cast<std::int64_t>(r * column_classes.taps.size()) + of) * lanes);
      }
    }
    column_phases_.push_back(std::move(column));
  }
  pairs_ = form_of(false);
  if (has_quads_) quads_ = form_of(true);
}

template <typename Visit>
void DepthwiseProduct::each_place(const Form& form, const ColumnPhase& column, const Visit& visit) {
  for (std::int64_t odd = 0; odd < 2; ++odd) {
    for (std::size_t k = 0; k < column.phase.taps.size(); ++k) {
      const std::int64_t at = odd + static_cast<std::int64_t>(k);
      visit(odd, at / form.in_unit, at % form.in_unit, k);
    }
  }
}

DepthwiseProduct::Form DepthwiseProduct::form_of(bool quads) const {
  Form form;
  form.in_unit = quads ? 4 : 2;
  std::int64_t pattern_bytes = 0;
  for (const ColumnPhase& column : column_phases_) {
    const auto taps = static_cast<std::int64_t>(column.phase.taps.size());
    const std::int64_t first = column.phase.source + margin_, step = column.phase.source_step;
    const std::int64_t last = first + (column.phase.count - 1) * step;
    // Whether some output begins at an odd column: its taps may need one unit more.
    const bool odd = first % 2 != 0 || (step % 2 != 0 && column.phase.count > 1);
    const std::int64_t units = std::max<std::int64_t>(1, (taps + (odd ? 1 : 0) + form.in_unit - 1) / form.in_unit);
    form.units.push_back(units);
    form.ones.push_back(pattern_bytes);
    pattern_bytes += 2 * units * kBlockBytes;
    form.staged_units = std::max(form.staged_units, last / 2 + (units - 1) * form.in_unit / 2 + 1);
  }
  if (quads) form.staged_units = (form.staged_units + 1) / 2 * 2;
  for (const Phase& row : row_phases_) {
    auto& begins = form.weights_begin.emplace_back();
    for (const std::int64_t units : form.units) {
      begins.push_back(form.weight_bytes);
      form.weight_bytes += lanes / kLanes * 2 * static_cast<std::int64_t>(row.taps.size()) * units * kBlockBytes;
    }
  }
  form.no_row.zeroed(2 * row_bytes(form));
  char* const patterns = form.patterns.zeroed(pattern_bytes);
  const std::int64_t column_bytes = 4 / form.in_unit;
  for (std::size_t j = 0; j < column_phases_.size(); ++j) {
    each_place(form, column_phases_[j], [&](std::int64_t odd, std::int64_t unit, std::int64_t place, std::size_t) {
      if (unit >= form.units[j]) return;  // no output begins at such a column
      char* const out = patterns + form.ones[j] + (odd * form.units[j] + unit) * kBlockBytes + place * column_bytes;
      for (std::int64_t lane = 0; lane < kLanes; ++lane) out[lane * 4] = 1;  // little-endian words
    });
  }
  return form;
}

void DepthwiseProduct::pack(int limb_count, bool bytes, bool sums, const std::int32_t* codes) {
  limbs_ = limb_count;
  sums_ = sums;
  bytes_ = bytes && has_quads_;
  const Form& f = form();
  char* const packed = packed_.zeroed(f.weight_bytes * limbs_);
  const std::int64_t taps = kh_ * kw_, column_bytes = 4 / f.in_unit;
  for (std::size_t i = 0; i < row_phases_.size(); ++i) {
    for (std::size_t j = 0; j < column_phases_.size(); ++j) {
      const auto& row_taps = row_phases_[i].taps;
      const auto& column_taps = column_phases_[j].phase.taps;
      const std::int64_t units = f.units[j], rows = static_cast<std::int64_t>(row_taps.size());
      const std::int64_t block_bytes = 2 * rows * units * kBlockBytes;
      each_place(f, column_phases_[j], [&](std::int64_t odd, std::int64_t unit, std::int64_t place, std::size_t k) {
        if (unit >= units) return;
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::int32_t* tap = codes + row_taps[static_cast<std::size_t>(r)] * kw_ + column_taps[k];
          char* out =
              packed + f.weights_begin[i][j] + ((odd * rows + r) * units + unit) * kBlockBytes + place * column_bytes;
          for (std::int64_t c = 0; c < channels_; ++c) {
            const std::int32_t code = tap[c * taps];
            char* const at = out + c / kLanes * block_bytes + c % kLanes * 4;
            if (bytes_) {
              *at = static_cast<char>(static_cast<std::uint8_t>(code));
              continue;
            }
            const auto low = static_cast<std::int16_t>(limbs_ == 1 ? code : code & 0xFF);
            std::memcpy(at, &low, sizeof low);
            if (limbs_ == 1) continue;
            const auto high = static_cast<std::int16_t>(code >> 8);
            std::memcpy(at + f.weight_bytes, &high, sizeof high);
          }
        }
      });
    }
  }
  double* class_sums = weight_sums.zeroed(classes() * lanes);
  std::int32_t* acc_start = acc_start_.zeroed(classes() * lanes);
  std::int32_t* codes_start = codes_start_.zeroed(classes() * lanes);
  for (std::int64_t k = 0; k < classes(); ++k) {
    const auto& of_class = class_taps_[static_cast<std::size_t>(k)];
    for (std::int64_t c = 0; c < channels_; ++c) {
      std::int64_t sum = 0;
      for (const std::int64_t tap : of_class) sum += codes[c * taps + tap];
      class_sums[k * lanes + c] = static_cast<double>(sum);
      if (!bytes_) continue;
      // Staged codes are 128 less.
      acc_start[k * lanes + c] = static_cast<std::int32_t>(128 * sum);
      codes_start[k * lanes + c] = static_cast<std::int32_t>(128 * static_cast<std::int64_t>(of_class.size()));
    }
  }
}

void DepthwiseProduct::stage(const KernelTable& kernels, const std::uint8_t* codes, char* out) const {
  const Form& f = form();
  if (bytes_) {
    StageQuads quads;
    quads.row = codes;
    quads.pixels = in_w_;
    quads.pixel_step = quads.channels = channels_;
    quads.margin = margin_;
    quads.groups = f.staged_units / 2;
    quads.shifts = quads.shift_step = 2;
    quads.offset_binary = true;
    quads.plane = f.plane();
    quads.out = out;
    kernels.stage_quads(quads);
    return;
  }
  StageWords pairs;
  pairs.row = codes;
  pairs.pixels = in_w_;
  pairs.channels = channels_;
  pairs.margin = margin_;
  pairs.step = 2;
  pairs.units = f.staged_units;
  pairs.plane = f.plane();
  pairs.out = out;
  kernels.stage_words(pairs);
}

void DepthwiseProduct::row(const KernelTable& kernels, const ProductCoefficients& coefficients, const ByteCodes& codes,
                           std::int64_t r, float* out, const float* const (&fetch)[2], std::int64_t& staged,
                           State& state) const {
  const Form& f = form();
  const std::size_t phases = row_phases_.size();
  std::size_t of = 0;
  while (of + 1 < phases && (r - row_phases_[of].first) % row_phases_[of].step != 0) ++of;
  const Phase& phase = row_phases_[of];
  const auto kernel_rows = static_cast<std::int64_t>(phase.taps.size());
  const std::int64_t first = phase.source + (r - phase.first) / phase.step * phase.source_step;
  const std::int64_t staged_bytes = codes.limbs * row_bytes(f);  // of a row, its limbs one behind the other
  char* const ring = state.staged.need(kh_ * staged_bytes);
  for (; staged < std::min(in_h_, first + kernel_rows); ++staged) {
    for (int limb = 0; limb < codes.limbs; ++limb) {
      stage(kernels, codes.limb[limb] + staged * in_w_ * channels_,
            ring + staged % kh_ * staged_bytes + limb * row_bytes(f));
    }
  }
  const char** rows = state.rows.need(kh_);
  for (std::int64_t k = 0; k < kernel_rows; ++k) {
    const std::int64_t source = first + k;
    rows[k] = source >= 0 && source < in_h_ ? ring + source % kh_ * staged_bytes : f.no_row.data();
  }
  DepthwiseRow row;
  row.rows = rows;
  row.kernel_rows = kernel_rows;
  row.unit_step = f.in_unit / 2 * kBlockBytes;
  row.plane = f.plane();
  row.channels = channels_;
  row.lanes = lanes;
  row.bytes = bytes_;
  row.limbs = limbs_;
  row.limb_step = f.weight_bytes;
  row.x_limbs = codes.limbs;
  row.x_limb_step = row_bytes(f);
  row.acc_start = acc_start_.data();
  row.codes_start = codes_start_.data();
  row.offset = coefficients.offset.data();
  row.a = coefficients.a.data();
  row.b = coefficients.b.data();
  for (int i = 0; i < 2; ++i) row.fetch[i] = reinterpret_cast<const char*>(fetch[i]);
  for (std::size_t j = 0; j < column_phases_.size(); ++j) {
    const ColumnPhase& column = column_phases_[j];
    row.units = f.units[j];
    row.first = column.phase.source + margin_;
    row.step = column.phase.source_step;
    row.pixels = column.phase.count;
    row.weights = packed_.data() + f.weights_begin[of][j];
    row.ones = sums_ ? f.patterns.data() + f.ones[j] : nullptr;
    row.columns = column.columns.data() + row_class_[static_cast<std::size_t>(r)] * column.phase.count;
    row.out = out + column.phase.first * channels_;
    row.out_step = column.phase.step * channels_;
    kernels.depthwise_row(row);
    for (const char*& at : row.fetch) at += column.phase.count * lanes / kLanes * kBlockBytes;
  }
}

}  // namespace bitcycle::cpu
