// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/weight_gradient.h"

#include <algorithm>
#include <cstring>

#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

/// Of a limb, or of the product of two, as a factor because a negative number must not be shifted.
constexpr std::int64_t limb_weight(int limb) { return std::int64_t{1} << 8 * limb; }

constexpr std::int64_t kChunk = 64;  // input channels whose values are made together

}  // namespace

WeightGradient::WeightGradient(const ConvShape& shape, const KernelTable& kernels, std::int64_t x_pitch,
                               std::int64_t g_pitch)
    : shape_(shape),
      x_pitch_(x_pitch != 0 ? x_pitch : shape.c),
      g_pitch_(g_pitch != 0 ? g_pitch : shape.o),
      group_(kernels.group),
      tiles_(kernels.tiles) {
  const std::int64_t group = group_;
  const std::int64_t oh = shape.out_h(), ow = shape.out_w();
  steps_ = (ow + group - 1) / group;
  x_lanes_ = (shape.c + 3) / 4 * 4;
  g_lanes_ = lanes_for(shape.o);
  staged_rows_ = (oh - 1) * shape.stride + shape.kh;
  x_row_ = steps_ * x_lanes_ * 4;
  x_copy_ = staged_rows_ * x_row_;
  x_image_ = shape.kw * x_copy_;
  g_row_ = steps_ * g_lanes_ * 4;
  g_image_ = oh * g_row_;
  const std::int64_t wanted = 128 / std::max<std::int64_t>(1, oh * steps_);
  images_at_once_ = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, kMaxPositions / (oh * ow)));
  for (std::int64_t kh = 0; kh < shape.kh; ++kh) {
    for (std::int64_t kw = 0; kw < shape.kw; ++kw) valid_.push_back(valid_outputs(shape, kh, kw));
  }
  if (tiles_) plan_tiles();
  has_winograd_ = WinogradGradient::takes(kernels, shape);
  if (!has_winograd_) return;
  winograd_ = WinogradGradient(shape, x_lanes_, x_pitch_, g_lanes_, g_pitch_);
  images_at_once_ = winograd_.images_at_once();
}

void WeightGradient::clear(int x_limbs, int g_limbs, Partial& partial) const {
  const std::int64_t taps = shape_.kh * shape_.kw;
  partial.x_limbs = x_limbs;
  partial.g_limbs = g_limbs;
  const std::int64_t sums = g_limbs * x_limbs * sums_size();
  if (tiles_) {
    partial.sums.need(sums);
  } else {
    partial.sums.zeroed(sums);
  }
  partial.fresh = tiles_;
  // Taken now: which thread's narrow sums fill up must not decide when memory is allocated.
  if (needs_totals()) partial.total.need(g_limbs * x_limbs * sums_size());
  partial.wide = false;
  partial.pending = 0;
  partial.used = true;
  if (has_winograd_) winograd_.clear(partial.winograd);
  if (tiles_) return;
  partial.total_g.need(g_limbs * taps * g_lanes_);
  partial.total_x.need(x_limbs * taps * x_lanes_);
  partial.sum_g.zeroed(g_limbs * taps * g_lanes_);
  partial.sum_x.zeroed(x_limbs * taps * x_lanes_);
  // Which pixels of a row exist for each column tap, as bytes or words of 0 and 1.
  const std::int64_t element = 4 / group_;
  char* present = partial.present.zeroed((shape_.kw + 1) * steps_ * 4);
  for (std::int64_t kw = 0; kw <= shape_.kw; ++kw) {
    for (std::int64_t p = 0; p < shape_.out_w(); ++p) {
      const std::int64_t column = p * shape_.stride - shape_.padding + kw;
      // The last row of the table has every pixel: for x, which is 0 where there is none.
      if (kw == shape_.kw || (column >= 0 && column < shape_.w)) present[(kw * steps_ * group_ + p) * element] = 1;
    }
  }
}

void WeightGradient::flush(Partial& partial) const {
  const auto move = [&](Scratch<std::int32_t>& from, Scratch<std::int64_t>& to, std::int64_t count) {
    if (!partial.wide) to.zeroed(count);
    for (std::int64_t i = 0; i < count; ++i) to.data()[i] += from.data()[i];
    std::fill_n(from.data(), count, 0);
  };
  const std::int64_t taps = shape_.kh * shape_.kw;
  move(partial.sums, partial.total, partial.g_limbs * partial.x_limbs * sums_size());
  if (!tiles_) {
    move(partial.sum_g, partial.total_g, partial.g_limbs * taps * g_lanes_);
    move(partial.sum_x, partial.total_x, partial.x_limbs * taps * x_lanes_);
  }
  partial.wide = true;
  partial.pending = 0;
}

void WeightGradient::add(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
                         std::int64_t short_row, Partial& partial) const {
  const std::int64_t positions = count * shape_.out_h() * shape_.out_w();
  const bool full = partial.pending + positions > kMaxPositions;
  if (has_winograd_ && (full || partial.winograd.positions + positions > WinogradGradient::kMaxPositions)) {
    winograd_.fold(partial.winograd, partial.sums.data());
  }
  if (full) flush(partial);
  partial.pending += positions;
  if (has_winograd_) {
    winograd_.add(kernels, x.limb[0], g.limb[0], count, partial.winograd, partial.sum_x.data(), partial.sum_g.data());
    return;
  }
  stage(kernels, x, g, count, short_row, partial);
  accumulate(kernels, count, partial, partial.sums.data());
  partial.fresh = false;
}

void WeightGradient::stage(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
                           std::int64_t short_row, Partial& partial) const {
  if (tiles_) {
    stage_tiles(kernels, x, g, count, short_row, partial);
    return;
  }
  partial.x.need(x.limbs * count * x_image_);
  partial.g.need(g.limbs * count * g_image_);
  partial.targets.need(shape_.kh);
  for (int limb = 0; limb < g.limbs; ++limb) stage_g(kernels, g.limb[limb], count, short_row, limb, partial);
  for (int limb = 0; limb < x.limbs; ++limb) stage_x(kernels, x.limb[limb], count, short_row, limb, partial);
}

void WeightGradient::stage_g(const KernelTable& kernels, const std::uint8_t* g, std::int64_t count,
                             std::int64_t short_row, int limb, Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t oh = s.out_h(), ow = s.out_w();
  char* const staged = partial.g.data() + limb * count * g_image_;
  std::int32_t* const sums = partial.sum_g.data() + limb * s.kh * s.kw * g_lanes_;
  std::int32_t** const targets = partial.targets.data();
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t r = 0; r < oh; ++r) {
      StagePixels stage;
      stage.row = g + (n * oh + r) * ow * g_pitch_;
      stage.pixels = short_row == 0 || n + 1 < count ? ow : short_row;
      stage.pixel_step = g_pitch_;
      stage.channels = s.o;
      stage.count = ow;
      stage.lanes = g_lanes_;
      stage.out = staged + n * g_image_ + r * g_row_;
      kernels.stage_pixels(stage);
      for (std::int64_t kw = 0; kw < s.kw; ++kw) {
        std::int64_t taps = 0;
        for (std::int64_t kh = 0; kh < s.kh; ++kh) {
          const TapRectangle& valid = valid_[static_cast<std::size_t>(kh * s.kw + kw)];
          if (r < valid.oh_begin || r >= valid.oh_end) continue;
          targets[taps++] = sums + (kh * s.kw + kw) * g_lanes_;
        }
        kernels.pixel_sums(
            {stage.out, steps_, g_lanes_, partial.present.data() + kw * steps_ * 4, false, targets, taps});
      }
    }
  }
}

void WeightGradient::stage_x(const KernelTable& kernels, const std::uint8_t* x, std::int64_t count,
                             std::int64_t short_row, int limb, Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t oh = s.out_h(), ow = s.out_w();
  char* const staged = partial.x.data() + limb * count * x_image_;
  std::int32_t* const sums = partial.sum_x.data() + limb * s.kh * s.kw * x_lanes_;
  std::int32_t** const targets = partial.targets.data();
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      for (std::int64_t r = 0; r < staged_rows_; ++r) {
        char* out = staged + n * x_image_ + kw * x_copy_ + r * x_row_;
        const std::int64_t row = r - s.padding;
        if (row < 0 || row >= s.h) {
          std::memset(out, 0, static_cast<std::size_t>(x_row_));
          continue;
        }
        StagePixels stage;
        stage.row = x + (n * s.h + row) * s.w * x_pitch_;
        stage.pixels = short_row == 0 || n + 1 < count ? s.w : short_row;
        stage.pixel_step = x_pitch_;
        stage.channels = s.c;
        stage.first = kw - s.padding;
        stage.step = s.stride;
        stage.count = ow;
        stage.lanes = x_lanes_;
        stage.offset_binary = true;
        stage.out = out;
        kernels.stage_pixels(stage);
        std::int64_t taps = 0;
        for (std::int64_t kh = r % s.stride; kh < s.kh; kh += s.stride) {
          const std::int64_t output_row = (r - kh) / s.stride;
          if (r < kh || output_row >= oh) continue;
          targets[taps++] = sums + (kh * s.kw + kw) * x_lanes_;
        }
        kernels.pixel_sums({out, steps_, x_lanes_, partial.present.data() + s.kw * steps_ * 4, true, targets, taps});
      }
    }
  }
}

void WeightGradient::accumulate(const KernelTable& kernels, std::int64_t count, const Partial& staged,
                                std::int32_t* sums) const {
  if (tiles_) {
    accumulate_tiles(kernels, count, staged, sums);
    return;
  }
  const ConvShape& s = shape_;
  TapGradient tap;
  tap.images = count;
  tap.x_image = x_image_;
  tap.g_image = g_image_;
  tap.rows = s.out_h();
  tap.x_row = s.stride * x_row_;
  tap.g_row = g_row_;
  tap.steps = steps_;
  tap.x_lanes = x_lanes_;
  tap.g_lanes = g_lanes_;
  for (int j = 0; j < staged.g_limbs; ++j) {
    for (int i = 0; i < staged.x_limbs; ++i) {
      for (std::int64_t t = 0; t < s.kh * s.kw; ++t) {
        tap.g = staged.g.data() + j * count * g_image_;
        tap.x = staged.x.data() + i * count * x_image_ + t % s.kw * x_copy_ + t / s.kw * x_row_;
        tap.sums = sums + (j * staged.x_limbs + i) * sums_size() + t * g_lanes_ * x_lanes_;
        kernels.tap_gradient(tap);
      }
    }
  }
}

std::int64_t WeightGradient::sum_g_at(int limb, int x_limbs, std::int64_t tap, std::int64_t o) const {
  const std::int64_t taps = shape_.kh * shape_.kw;
  if (!tiles_) return (limb * taps + tap) * g_lanes_ + o;
  const std::int64_t block = tap * (g_lanes_ / kLanes) + o / kLanes;
  return limb * x_limbs * sums_size() + (block * x_lanes_ + shape_.c) * kLanes + o % kLanes;
}

std::int64_t WeightGradient::sum_x_at(int limb, std::int64_t tap, std::int64_t c) const {
  const std::int64_t taps = shape_.kh * shape_.kw;
  if (!tiles_) return (limb * taps + tap) * x_lanes_ + c;
  const std::int64_t block = tap * (g_lanes_ / kLanes) + shape_.o / kLanes;
  return limb * sums_size() + (block * x_lanes_ + c) * kLanes + shape_.o % kLanes;
}

void WeightGradient::finish(const KernelTable& kernels, Workers& workers, std::vector<Partial>& partials,
                            const KernelShape& images, const Operand& x, const Operand& g, float* dw) const {
  const ConvShape& s = shape_;
  const std::int64_t taps = s.kh * s.kw;
  const WeightGradientScale scale = weight_gradient_scale(*g.affine, *x.affine);
  const int x_limbs = byte_limbs(x.width), g_limbs = byte_limbs(g.width);
  if (has_winograd_) {
    workers.each(static_cast<std::int64_t>(partials.size()), [&](int, std::int64_t i) {
      Partial& partial = partials[static_cast<std::size_t>(i)];
      if (partial.used) winograd_.fold(partial.winograd, partial.sums.data());
    });
  }
  const auto sum_of = [&](const Scratch<std::int64_t> Partial::*total, const Scratch<std::int32_t> Partial::*sums,
                          std::int64_t at) {
    std::int64_t sum = 0;
    for (const auto& partial : partials) {
      if (!partial.used) continue;
      sum += (partial.*sums).data()[at];
      if (partial.wide) sum += (partial.*total).data()[at];
    }
    return sum;
  };
  const auto total_g = tiles_ ? &Partial::total : &Partial::total_g;
  const auto total_x = tiles_ ? &Partial::total : &Partial::total_x;
  const auto narrow_g = tiles_ ? &Partial::sums : &Partial::sum_g;
  const auto narrow_x = tiles_ ? &Partial::sums : &Partial::sum_x;
  // Single bytes whose narrow sums are all there is go through one kernel.
  const std::int32_t** const sets = partials.front().sets.need(2 * static_cast<std::int64_t>(partials.size()));
  const std::int32_t** const x_sets = sets + partials.size();
  std::int64_t used = 0;
  bool narrow = x_limbs == 1 && g_limbs == 1;
  for (const auto& partial : partials) {
    if (!partial.used) continue;
    sets[used] = partial.sums.data();
    x_sets[used++] = (partial.*narrow_x).data();
    narrow = narrow && !partial.wide;
  }
  double factor[kChunk], g_factor[kChunk];
  std::fill_n(factor, kChunk, scale.a);
  std::fill_n(g_factor, kChunk, scale.b);
  // One task a tap and block of output channels: it adds the threads' sums and makes values of them, for some input
  // channels at a time, so that a row of dw is written as one run.
  workers.each(taps * (g_lanes_ / kLanes), [&](int, std::int64_t task) {
    const std::int64_t t = task % taps, block = task / taps;
    const std::int64_t begin = (t * (g_lanes_ / kLanes) + block) * x_lanes_ * kLanes;
    const std::int64_t terms =
        images.regrouped ? images.positions : images.shape.n * valid_[static_cast<std::size_t>(t)].size();
    const std::int64_t lanes = std::min(kLanes, s.o - block * kLanes);
    if (lanes <= 0) return;
    std::int64_t of_lane[kLanes] = {};  // what staging took off: 128 times the sums of g
    double sums_of_g[kLanes] = {};
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      std::int64_t sum = 0;
      for (int j = 0; j < g_limbs; ++j) {
        const std::int64_t limb = sum_of(total_g, narrow_g, sum_g_at(j, x_limbs, t, block * kLanes + lane));
        sum += limb * limb_weight(j);
        for (int i = 0; i < x_limbs; ++i) of_lane[lane] += 128 * limb * limb_weight(i + j);
      }
      sums_of_g[lane] = to_binary64(sum);
    }
    if (narrow) {
      GradientValues made;
      made.sums = sets;
      made.x_sums = x_sets;
      made.sets = used;
      made.sums_at = begin;
      made.x_at = sum_x_at(0, t, 0);
      made.x_step = tiles_ ? kLanes : 1;
      made.channels = s.c;
      made.lanes = lanes;
      made.x_offset = to_binary64(128 * terms);
      made.g_sums = sums_of_g;
      made.a = scale.a;
      made.b = scale.b;
      made.c = scale.c;
      made.rest = scale.lo_lo * to_binary64(terms);
      made.out = dw + (block * kLanes * taps + t) * s.c;
      made.out_step = taps * s.c;
      kernels.gradient_values(made);
      return;
    }
    std::int64_t sums[kChunk * kLanes];
    double acc[kLanes * kChunk] = {}, rest[kChunk] = {};
    RescaleSums rescale;
    rescale.sums = acc;
    rescale.pixels = lanes;
    rescale.lanes = kChunk;
    rescale.a = factor;
    rescale.b = g_factor;
    rescale.offset = rest;
    rescale.position_sums = sums_of_g;
    rescale.out_step = taps * s.c;
    for (std::int64_t first = 0; first < s.c; first += kChunk) {
      const std::int64_t channels = std::min(kChunk, s.c - first);
      for (std::int64_t c = 0; c < channels; ++c) {
        std::int64_t sum_x = 0;
        for (int i = 0; i < x_limbs; ++i) {
          sum_x += (128 * terms + sum_of(total_x, narrow_x, sum_x_at(i, t, first + c))) * limb_weight(i);
        }
        rest[c] = weight_gradient_rest(scale, to_binary64(sum_x), to_binary64(terms));
        std::copy_n(of_lane, kLanes, sums + c * kLanes);
      }
      const auto add = [&](const auto* of, std::int64_t weight) {
        for (std::int64_t e = 0; e < channels * kLanes; ++e) sums[e] += of[e] * weight;
      };
      for (int j = 0; j < g_limbs; ++j) {
        for (int i = 0; i < x_limbs; ++i) {
          const std::int64_t at = (j * x_limbs + i) * sums_size() + begin + first * kLanes;
          for (const auto& partial : partials) {
            if (!partial.used) continue;
            add(partial.sums.data() + at, limb_weight(i + j));
            if (partial.wide) add(partial.total.data() + at, limb_weight(i + j));
          }
        }
      }
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        for (std::int64_t c = 0; c < channels; ++c) acc[lane * kChunk + c] = to_binary64(sums[c * kLanes + lane]);
      }
      rescale.channels = channels;
      rescale.out = dw + (block * kLanes * taps + t) * s.c + first;
      kernels.rescale_sums(rescale);
    }
  });
  for (auto& partial : partials) partial.used = false;
}

}  // namespace bitcycle::cpu
