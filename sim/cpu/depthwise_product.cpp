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

DepthwiseProduct::DepthwiseProduct(const ConvShape& s, bool error_pass)
    : lanes(lanes_for(s.c)),
      in_h_(error_pass ? s.out_h() : s.h),
      in_w_(error_pass ? s.out_w() : s.w),
      out_h_(error_pass ? s.h : s.out_h()),
      out_w_(error_pass ? s.w : s.out_w()),
      channels_(s.c),
      kh_(s.kh),
      kw_(s.kw),
      row_phases_(phases_of(out_h_, s.kh, s.stride, s.padding, error_pass)) {
  const std::vector<Phase> columns = phases_of(out_w_, s.kw, s.stride, s.padding, error_pass);
  std::int64_t last = in_w_;
  for (const Phase& phase : columns) {
    margin_ = std::max(margin_, -phase.source);
    last = std::max(
        last, phase.source + (phase.count - 1) * phase.source_step + static_cast<std::int64_t>(phase.taps.size()));
  }
  columns_ = margin_ + last;
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
  std::int64_t most_pairs = 1;
  for (const Phase& phase : columns) {
    ColumnPhase column{phase, {}, {}};
    for (std::size_t k = 0; k < phase.taps.size(); k += 2) {
      column.offsets.push_back(static_cast<std::int64_t>(k) * kBlockBytes);
    }
    for (std::size_t r = 0; r < row_classes.taps.size(); ++r) {
      for (std::int64_t p = 0; p < phase.count; ++p) {
        const std::int64_t of = column_classes.of_output[static_cast<std::size_t>(phase.first + p * phase.step)];
        column.columns.push_back((static_cast<std::int64_t>(r * column_classes.taps.size()) + of) * lanes);
      }
    }
    most_pairs = std::max(most_pairs, column.pairs());
    column_phases_.push_back(std::move(column));
  }
  for (const Phase& row : row_phases_) {
    auto& begins = weights_begin_.emplace_back();
    for (const auto& column : column_phases_) {
      begins.push_back(weight_bytes_);
      weight_bytes_ += lanes / kLanes * static_cast<std::int64_t>(row.taps.size()) * column.pairs() * kBlockBytes;
    }
  }
  no_row_.zeroed(2 * row_bytes());
  // Of each column phase the pattern of its pairs: the last one may have a single tap.
  const std::int64_t pattern = most_pairs * kBlockBytes;
  char* ones = ones_.zeroed(static_cast<std::int64_t>(column_phases_.size()) * pattern);
  for (const auto& column : column_phases_) {
    for (std::size_t k = 0; k < column.phase.taps.size(); ++k) {
      const std::int16_t one = 1;
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        std::memcpy(
            ones + static_cast<std::int64_t>(k / 2) * kBlockBytes + lane * 4 + static_cast<std::int64_t>(k % 2) * 2,
            &one, sizeof one);
      }
    }
    ones += pattern;
  }
  ones_pitch_ = pattern;
}

void DepthwiseProduct::pack(int limb_count, bool sums, const std::int32_t* codes) {
  limbs_ = limb_count;
  sums_ = sums;
  char* const packed = packed_.zeroed(weight_bytes_ * limbs_);
  const std::int64_t taps = kh_ * kw_;
  for (std::size_t i = 0; i < row_phases_.size(); ++i) {
    for (std::size_t j = 0; j < column_phases_.size(); ++j) {
      const auto& row_taps = row_phases_[i].taps;
      const auto& column_taps = column_phases_[j].phase.taps;
      const std::int64_t pairs = column_phases_[j].pairs();
      const std::int64_t block_bytes = static_cast<std::int64_t>(row_taps.size()) * pairs * kBlockBytes;
      for (std::size_t r = 0; r < row_taps.size(); ++r) {
        for (std::size_t k = 0; k < column_taps.size(); ++k) {
          const std::int32_t* tap = codes + row_taps[r] * kw_ + column_taps[k];
          char* out = packed + weights_begin_[i][j] +
                      (static_cast<std::int64_t>(r) * pairs + static_cast<std::int64_t>(k / 2)) * kBlockBytes +
                      static_cast<std::int64_t>(k % 2) * 2;
          for (std::int64_t c = 0; c < channels_; ++c) {
            const std::int32_t code = tap[c * taps];
            char* word = out + c / kLanes * block_bytes + c % kLanes * 4;
            const auto low = static_cast<std::int16_t>(limbs_ == 1 ? code : code & 0xFF);
            std::memcpy(word, &low, sizeof low);
            if (limbs_ == 1) continue;
            const auto high = static_cast<std::int16_t>(code >> 8);
            std::memcpy(word + weight_bytes_, &high, sizeof high);
          }
        }
      }
    }
  }
  double* class_sums = weight_sums.zeroed(classes() * lanes);
  for (std::int64_t k = 0; k < classes(); ++k) {
    for (std::int64_t c = 0; c < channels_; ++c) {
      std::int64_t sum = 0;
      for (const std::int64_t tap : class_taps_[static_cast<std::size_t>(k)]) sum += codes[c * taps + tap];
      class_sums[k * lanes + c] = static_cast<double>(sum);
    }
  }
}

void DepthwiseProduct::row(const KernelTable& kernels, const ProductCoefficients& coefficients, const ByteCodes& codes,
                           std::int64_t r, float* out, std::int64_t& staged, State& state) const {
  const std::size_t phases = row_phases_.size();
  std::size_t of = 0;
  while (of + 1 < phases && (r - row_phases_[of].first) % row_phases_[of].step != 0) ++of;
  const Phase& phase = row_phases_[of];
  const auto kernel_rows = static_cast<std::int64_t>(phase.taps.size());
  const std::int64_t first = phase.source + (r - phase.first) / phase.step * phase.source_step;
  const std::int64_t staged_bytes = codes.limbs * row_bytes();  // of a row, its limbs one behind the other
  char* const ring = state.staged.need(kh_ * staged_bytes);
  StageWords stage;
  stage.pixels = in_w_;
  stage.channels = channels_;
  stage.margin = margin_;
  stage.columns = columns_;
  stage.plane = columns_ * kBlockBytes;
  for (; staged < std::min(in_h_, first + kernel_rows); ++staged) {
    for (int limb = 0; limb < codes.limbs; ++limb) {
      stage.row = codes.limb[limb] + staged * in_w_ * channels_;
      stage.out = ring + staged % kh_ * staged_bytes + limb * row_bytes();
      kernels.stage_words(stage);
    }
  }
  const char** rows = state.rows.need(kh_);
  DepthwiseRow row;
  row.rows = rows;
  row.kernel_rows = kernel_rows;
  row.plane = stage.plane;
  row.channels = channels_;
  row.lanes = lanes;
  row.limbs = limbs_;
  row.x_limbs = codes.limbs;
  row.x_limb_step = row_bytes();
  row.offset = coefficients.offset.data();
  row.a = coefficients.a.data();
  row.b = coefficients.b.data();
  for (std::size_t j = 0; j < column_phases_.size(); ++j) {
    const ColumnPhase& column = column_phases_[j];
    for (std::int64_t k = 0; k < kernel_rows; ++k) {
      const std::int64_t source = first + k;
      const char* from = source >= 0 && source < in_h_ ? ring + source % kh_ * staged_bytes : no_row_.data();
      rows[k] = from + (column.phase.source + margin_) * kBlockBytes;
    }
    row.offsets = column.offsets.data();
    row.pairs = column.pairs();
    row.pixel_step = column.phase.source_step * kBlockBytes;
    row.pixels = column.phase.count;
    row.weights = packed_.data() + weights_begin_[of][j];
    row.limb_step = weight_bytes_;
    row.ones = sums_ ? ones_.data() + static_cast<std::int64_t>(j) * ones_pitch_ : nullptr;
    row.columns = column.columns.data() + row_class_[static_cast<std::size_t>(r)] * column.phase.count;
    row.out = out + column.phase.first * channels_;
    row.out_step = column.phase.step * channels_;
    kernels.depthwise_row(row);
  }
}

}  // namespace bitcycle::cpu
