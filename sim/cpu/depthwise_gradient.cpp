// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/depthwise_gradient.h"

#include <algorithm>
#include <cstring>

#include "sim/ops/accumulator.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

/// Longest sum of products of two 8-bit codes that an int32 holds.
constexpr std::int64_t kMaxPositions = 33025;
/// Positions of a map whose codes are first added position by position.
constexpr std::int64_t kSmallMap = 64;
constexpr std::int64_t kChannelsAtOnce = 128;  // whose gradients one task makes of the sums
/// Staged bytes of a band that should stay in a core's own cache.
constexpr std::int64_t kBandBytes = 512 * 1024;

/// Of a limb, or of the product of two.
constexpr std::int64_t limb_weight(int limb) { return std::int64_t{1} << 8 * limb; }

}  // namespace

TapSums::Axis TapSums::axis_of(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                               std::int64_t padding, bool of_x) {
  Axis axis;
  const std::int64_t phases = of_x ? stride : 1;
  for (std::int64_t phase = 0; phase < phases; ++phase) {
    const std::int64_t extent = of_x ? in : out;
    axis.phases.push_back({phase, phases, phase < extent ? (extent - phase + phases - 1) / phases : 0});
  }
  for (std::int64_t k = 0; k < kernel; ++k) {
    // Outputs begin..end - 1 have the tap: 0 <= output * stride - padding + k < in.
    const std::int64_t begin = std::min(out, k >= padding ? 0 : (padding - k + stride - 1) / stride);
    const std::int64_t last = in - 1 + padding - k;
    const std::int64_t end = std::max(begin, last < 0 ? 0 : std::min(out, last / stride + 1));
    const std::int64_t phase = of_x ? ((k - padding) % stride + stride) % stride : 0;
    const Run& all = axis.phases[static_cast<std::size_t>(phase)];
    // As indices into the phase.
    const std::int64_t first = !of_x || begin == end ? begin : (begin * stride - padding + k - phase) / stride;
    const std::int64_t before = begin == end ? all.count : first, after = all.count - before - (end - begin);
    axis.phase_of.push_back(phase);
    auto& left_out = axis.left_out.emplace_back();
    if (before > 0) left_out.push_back({all.first, all.step, before});
    if (after > 0) left_out.push_back({all.first + (all.count - after) * all.step, all.step, after});
  }
  return axis;
}

TapSums::TapSums(const ConvShape& s, bool of_x)
    : height_(of_x ? s.h : s.out_h()),
      width_(of_x ? s.w : s.out_w()),
      channels_(s.c),
      lanes_(lanes_for(s.c)),
      rows_(axis_of(s.h, s.out_h(), s.kh, s.stride, s.padding, of_x)),
      columns_(axis_of(s.w, s.out_w(), s.kw, s.stride, s.padding, of_x)) {
  by_position_ = height_ * width_ <= kSmallMap;
  const auto row_phases = static_cast<std::int64_t>(rows_.phases.size());
  const auto column_phases = static_cast<std::int64_t>(columns_.phases.size());
  rows_begin_ = row_phases * column_phases;
  columns_begin_ = rows_begin_ + s.kh * column_phases;
  both_begin_ = columns_begin_ + row_phases * s.kw;
  entries_ = both_begin_ + s.kh * s.kw;
  const auto put = [&](std::int64_t entry, const Run& rows, const Run& columns) {
    if (rows.count > 0 && columns.count > 0) areas_.push_back({entry, rows, columns});
  };
  for (std::int64_t i = 0; i < row_phases; ++i) {
    const Run& rows = rows_.phases[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < column_phases; ++j) {
      put(i * column_phases + j, rows, columns_.phases[static_cast<std::size_t>(j)]);
    }
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      for (const Run& out : columns_.left_out[static_cast<std::size_t>(kw)]) {
        put(columns_begin_ + i * s.kw + kw, rows, out);
      }
    }
  }
  for (std::int64_t kh = 0; kh < s.kh; ++kh) {
    for (const Run& out : rows_.left_out[static_cast<std::size_t>(kh)]) {
      for (std::int64_t j = 0; j < column_phases; ++j) {
        put(rows_begin_ + kh * column_phases + j, out, columns_.phases[static_cast<std::size_t>(j)]);
      }
      for (std::int64_t kw = 0; kw < s.kw; ++kw) {
        for (const Run& columns : columns_.left_out[static_cast<std::size_t>(kw)]) {
          put(both_begin_ + kh * s.kw + kw, out, columns);
        }
      }
    }
  }
}

void TapSums::add(const KernelTable& kernels, const std::uint8_t* codes, std::int32_t* sums,
                  std::uint16_t* words) const {
  if (by_position_) return kernels.add_codes(codes, positions(), words);
  for (const Area& area : areas_) {
    CodeSums add;
    add.codes = codes + (area.rows.first * width_ + area.columns.first) * channels_;
    add.rows = area.rows.count;
    add.row_step = area.rows.step * width_ * channels_;
    add.columns = area.columns.count;
    add.column_step = area.columns.step * channels_;
    add.channels = channels_;
    add.sums = sums + area.entry * lanes_;
    kernels.code_sums(add);
  }
}

void TapSums::fold(std::uint16_t* words, std::int32_t* sums) const {
  for (const Area& area : areas_) {
    std::int32_t* const out = sums + area.entry * lanes_;
    for (std::int64_t r = 0; r < area.rows.count; ++r) {
      for (std::int64_t p = 0; p < area.columns.count; ++p) {
        const std::int64_t row = area.rows.first + r * area.rows.step,
                           column = area.columns.first + p * area.columns.step;
        const std::uint16_t* const from = words + (row * width_ + column) * channels_;
        for (std::int64_t c = 0; c < channels_; ++c) out[c] += from[c];
      }
    }
  }
  std::fill_n(words, positions(), std::uint16_t{0});
}

TapSums::Places TapSums::places(std::int64_t kh, std::int64_t kw) const {
  const auto column_phases = static_cast<std::int64_t>(columns_.phases.size());
  const auto taps_across = static_cast<std::int64_t>(columns_.phase_of.size());
  const std::int64_t row = rows_.phase_of[static_cast<std::size_t>(kh)];
  const std::int64_t column = columns_.phase_of[static_cast<std::size_t>(kw)];
  return {(row * column_phases + column) * lanes_, (rows_begin_ + kh * column_phases + column) * lanes_,
          (columns_begin_ + row * taps_across + kw) * lanes_, (both_begin_ + kh * taps_across + kw) * lanes_};
}

DepthwiseWeightGradient::DepthwiseWeightGradient(const ConvShape& s, const KernelTable& kernels)
    : shape_(s), quads_(kernels.stage_quads != nullptr), lanes_(lanes_for(s.c)), x_taps_(s, true), g_taps_(s, false) {
  x_offsets_.resize(static_cast<std::size_t>(s.kw));
  if (quads_) {
    // Tap k reads columns k, k + stride, ...: of phase k % stride from its column t = k / stride on.
    const std::int64_t last = (s.kw - 1) / s.stride;
    shifts_ = std::min<std::int64_t>(last, 3) + 1;
    x_phases_ = s.stride;
    steps_ = (s.out_w() + 3) / 4;
    g_units_ = steps_;
    x_units_ = (steps_ + last / 4) * shifts_;
    for (std::size_t k = 0; k < x_offsets_.size(); ++k) {
      const std::int64_t phase = static_cast<std::int64_t>(k) % s.stride, t = static_cast<std::int64_t>(k) / s.stride;
      x_offsets_[k] = (phase * x_units_ * (lanes_ / kLanes) + t / 4 * shifts_ + t % 4) * kBlockBytes;
    }
  } else {
    steps_ = (s.out_w() + 1) / 2;
    g_units_ = steps_;
    x_units_ = (2 * steps_ - 2) * s.stride + s.kw;
    for (std::size_t k = 0; k < x_offsets_.size(); ++k) x_offsets_[k] = static_cast<std::int64_t>(k) * kBlockBytes;
  }
  band_ = std::clamp<std::int64_t>((kBandBytes - s.kh * x_row_bytes()) / (s.stride * x_row_bytes() + g_row_bytes()), 1,
                                   s.out_h());
  band_ = std::max<std::int64_t>(1, std::min(band_, kMaxPositions / s.out_w()));
}

void DepthwiseWeightGradient::stage_x(const KernelTable& kernels, const std::uint8_t* codes, char* out) const {
  const ConvShape& s = shape_;
  if (!quads_) {
    StageWords pairs;
    pairs.row = codes;
    pairs.pixels = s.w;
    pairs.channels = s.c;
    pairs.margin = s.padding;
    pairs.distance = s.stride;
    pairs.units = x_units_;
    pairs.plane = x_units_ * kBlockBytes;
    pairs.out = out;
    kernels.stage_words(pairs);
    return;
  }
  for (std::int64_t phase = 0; phase < x_phases_; ++phase) {
    // Column j of the phase is pixel j * stride + phase - padding.
    StageQuads quads;
    quads.margin = (s.padding - phase + s.stride - 1) / s.stride;
    const std::int64_t first = quads.margin * s.stride + phase - s.padding;
    quads.row = codes + first * s.c;
    quads.pixels = first < s.w ? (s.w - first + s.stride - 1) / s.stride : 0;
    quads.pixel_step = s.stride * s.c;
    quads.channels = s.c;
    quads.groups = x_units_ / shifts_;
    quads.shifts = shifts_;
    quads.plane = x_units_ * kBlockBytes;
    quads.out = out + phase * x_units_ * lanes_ * 4;
    kernels.stage_quads(quads);
  }
}

void DepthwiseWeightGradient::stage_g(const KernelTable& kernels, const std::uint8_t* codes, char* out) const {
  if (quads_) {
    StageQuads quads;
    quads.row = codes;
    quads.pixels = shape_.out_w();
    quads.pixel_step = quads.channels = shape_.c;
    quads.groups = g_units_;
    quads.offset_binary = true;
    quads.plane = g_units_ * kBlockBytes;
    quads.out = out;
    kernels.stage_quads(quads);
    return;
  }
  StageWords pairs;
  pairs.row = codes;
  pairs.pixels = shape_.out_w();
  pairs.channels = shape_.c;
  pairs.step = 2;
  pairs.units = g_units_;
  pairs.plane = g_units_ * kBlockBytes;
  pairs.out = out;
  kernels.stage_words(pairs);
}

void DepthwiseWeightGradient::clear(int x_limbs, int g_limbs, Partial& partial) const {
  partial.x_limbs = x_limbs;
  partial.g_limbs = g_limbs;
  partial.sums.zeroed(x_limbs * g_limbs * taps() * lanes_);
  partial.total.zeroed(x_limbs * g_limbs * taps() * lanes_);
  partial.x_sums.zeroed(x_limbs * x_taps_.size());
  partial.x_total.zeroed(x_limbs * x_taps_.size());
  partial.g_sums.zeroed(g_limbs * g_taps_.size());
  partial.g_total.zeroed(g_limbs * g_taps_.size());
  partial.x_words.zeroed(x_limbs * x_taps_.positions());
  partial.g_words.zeroed(g_limbs * g_taps_.positions());
  partial.images = 0;
  partial.pending = 0;
  partial.used = true;
}

void DepthwiseWeightGradient::fold(Partial& partial) const {
  for (int i = 0; i < partial.x_limbs && x_taps_.positions() > 0; ++i) {
    x_taps_.fold(partial.x_words.data() + i * x_taps_.positions(), partial.x_sums.data() + i * x_taps_.size());
  }
  for (int j = 0; j < partial.g_limbs && g_taps_.positions() > 0; ++j) {
    g_taps_.fold(partial.g_words.data() + j * g_taps_.positions(), partial.g_sums.data() + j * g_taps_.size());
  }
  partial.images = 0;
}

void DepthwiseWeightGradient::flush(Partial& partial) const {
  fold(partial);
  const auto move = [](Scratch<std::int32_t>& from, Scratch<std::int64_t>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to.data()[i] += from.data()[i];
    std::fill_n(from.data(), count, 0);
  };
  move(partial.sums, partial.total, partial.x_limbs * partial.g_limbs * taps() * lanes_);
  move(partial.x_sums, partial.x_total, partial.x_limbs * x_taps_.size());
  move(partial.g_sums, partial.g_total, partial.g_limbs * g_taps_.size());
  partial.pending = 0;
}

void DepthwiseWeightGradient::add(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g,
                                  Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t out_h = s.out_h(), out_w = s.out_w();
  const std::int64_t x_row = x_row_bytes(), g_row = g_row_bytes();
  const std::int64_t most_x = (band_ - 1) * s.stride + s.kh;
  char* const staged_x = partial.x.need((x.limbs * most_x + 1) * x_row);
  char* const no_row = staged_x + x.limbs * most_x * x_row;
  char* const staged_g = partial.g.need(g.limbs * band_ * g_row);
  const char** x_rows = partial.x_rows.need(x.limbs * most_x);
  const char** g_rows = partial.g_rows.need(g.limbs * band_);
  std::memset(no_row, 0, static_cast<std::size_t>(x_row));
  DepthwiseGradientRows row;
  row.stride = s.stride;
  row.kh = s.kh;
  row.kw = s.kw;
  row.bytes = quads_;
  row.steps = steps_;
  row.x_step = (quads_ ? shifts_ : 2 * s.stride) * kBlockBytes;
  row.g_step = kBlockBytes;
  row.x_offsets = x_offsets_.data();
  row.x_plane = x_units_ * kBlockBytes;
  row.g_plane = g_units_ * kBlockBytes;
  row.channels = s.c;
  row.lanes = lanes_;
  for (std::int64_t first = 0; first < out_h; first += band_) {
    const std::int64_t rows = std::min(band_, out_h - first);
    if (partial.pending + rows * out_w > kMaxPositions) flush(partial);
    partial.pending += rows * out_w;
    for (int limb = 0; limb < g.limbs; ++limb) {
      for (std::int64_t r = 0; r < rows; ++r) {
        char* const out = staged_g + (limb * band_ + r) * g_row;
        g_rows[limb * band_ + r] = out;
        stage_g(kernels, g.limb[limb] + (first + r) * out_w * s.c, out);
      }
    }
    for (int limb = 0; limb < x.limbs; ++limb) {
      for (std::int64_t r = 0; r < (rows - 1) * s.stride + s.kh; ++r) {
        const std::int64_t source = first * s.stride - s.padding + r, at = limb * most_x + r;
        x_rows[at] = no_row;
        if (source < 0 || source >= s.h) continue;
        char* const out = staged_x + at * x_row;
        x_rows[at] = out;
        stage_x(kernels, x.limb[limb] + source * s.w * s.c, out);
      }
    }
    row.rows = rows;
    for (int j = 0; j < g.limbs; ++j) {
      for (int i = 0; i < x.limbs; ++i) {
        row.x = x_rows + i * most_x;
        row.g = g_rows + j * band_;
        row.sums = partial.sums.data() + (j * x.limbs + i) * taps() * lanes_;
        kernels.depthwise_gradient(row);
      }
    }
  }
  if (partial.images == TapSums::kMostImages) fold(partial);
  ++partial.images;
  for (int i = 0; i < x.limbs; ++i) {
    x_taps_.add(kernels, x.limb[i], partial.x_sums.data() + i * x_taps_.size(),
                partial.x_words.data() + i * x_taps_.positions());
  }
  for (int j = 0; j < g.limbs; ++j) {
    g_taps_.add(kernels, g.limb[j], partial.g_sums.data() + j * g_taps_.size(),
                partial.g_words.data() + j * g_taps_.positions());
  }
}

void DepthwiseWeightGradient::finish(Workers& workers, std::vector<Partial>& partials, std::int64_t images,
                                     const Affine& x, const Affine& g, float* dw) const {
  const ConvShape& s = shape_;
  Partial* all = nullptr;  // threads' sums
  for (auto& partial : partials) {
    if (!partial.used) continue;
    flush(partial);
    if (all == nullptr) {
      all = &partial;
      continue;
    }
    const auto add = [](Scratch<std::int64_t>& to, const Scratch<std::int64_t>& from, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) to.data()[i] += from.data()[i];
    };
    add(all->total, partial.total, partial.x_limbs * partial.g_limbs * taps() * lanes_);
    add(all->x_total, partial.x_total, partial.x_limbs * x_taps_.size());
    add(all->g_total, partial.g_total, partial.g_limbs * g_taps_.size());
  }
  const WeightGradientScale scale = weight_gradient_scale(g, x);
  const auto finish_tap = [&](std::int64_t tap, std::int64_t begin, std::int64_t end) {
    const std::int64_t kh = tap / s.kw, kw = tap % s.kw;
    const double terms = to_binary64(images * valid_outputs(s, kh, kw).size());
    const TapSums::Places of_x = x_taps_.places(kh, kw), of_g = g_taps_.places(kh, kw);
    for (std::int64_t c = begin; c < end; ++c) {
      Int128 acc = 0;
      std::int64_t sum_x = 0, sum_g = 0;
      for (int j = 0; all != nullptr && j < all->g_limbs; ++j) {
        sum_g += limb_weight(j) * of_g.sum(all->g_total.data() + j * g_taps_.size(), c);
      }
      for (int i = 0; all != nullptr && i < all->x_limbs; ++i) {
        const std::int64_t limb_x = of_x.sum(all->x_total.data() + i * x_taps_.size(), c);
        sum_x += limb_weight(i) * limb_x;
        for (int j = 0; j < all->g_limbs; ++j) {
          const std::int64_t sum = all->total.data()[((j * all->x_limbs + i) * taps() + tap) * lanes_ + c];
          // Quads of g hold 128 less.
          acc += static_cast<Int128>(limb_weight(i + j)) * (quads_ ? sum + 128 * limb_x : sum);
        }
      }
      dw[c * taps() + tap] =
          rescale_weight_gradient(scale, to_binary64(acc), to_binary64(sum_g), to_binary64(sum_x), terms);
    }
  };
  workers.chunks(s.c, kChannelsAtOnce, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t tap = 0; tap < taps(); ++tap) finish_tap(tap, begin, end);
  });
  for (auto& partial : partials) partial.used = false;
}

}  // namespace bitcycle::cpu
