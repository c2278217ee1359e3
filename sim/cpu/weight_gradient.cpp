// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/weight_gradient.h"

#include <algorithm>
#include <cstring>

#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

/// Longest reduction of unsigned 8 bit codes times code - 128 that an int32 holds.
constexpr std::int64_t kMaxPositions = 65793;

}  // namespace

WeightGradient::WeightGradient(const ConvShape& shape, std::int64_t group) : shape_(shape), group_(group) {
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
}

void WeightGradient::clear(Partial& partial) const {
  const std::int64_t taps = shape_.kh * shape_.kw;
  partial.sums.zeroed(sums_size());
  partial.total.zeroed(sums_size());
  partial.sum_g.zeroed(taps * g_lanes_);
  partial.sum_x.zeroed(taps * x_lanes_);
  partial.total_g.zeroed(taps * g_lanes_);
  partial.total_x.zeroed(taps * x_lanes_);
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
  partial.pending = 0;
  partial.used = true;
}

void WeightGradient::flush(Partial& partial) const {
  const auto move = [](Scratch<std::int32_t>& from, Scratch<std::int64_t>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to.data()[i] += from.data()[i];
    std::fill_n(from.data(), count, 0);
  };
  const std::int64_t taps = shape_.kh * shape_.kw;
  move(partial.sums, partial.total, sums_size());
  move(partial.sum_g, partial.total_g, taps * g_lanes_);
  move(partial.sum_x, partial.total_x, taps * x_lanes_);
  partial.pending = 0;
}

void WeightGradient::add(const KernelTable& kernels, const std::uint8_t* x, const std::uint8_t* g, std::int64_t count,
                         Partial& partial) const {
  const std::int64_t positions = count * shape_.out_h() * shape_.out_w();
  if (partial.pending + positions > kMaxPositions) flush(partial);
  partial.pending += positions;
  stage(kernels, x, g, count, partial);
  accumulate(kernels, count, partial, partial.sums.data());
}

void WeightGradient::stage(const KernelTable& kernels, const std::uint8_t* x, const std::uint8_t* g, std::int64_t count,
                           Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t oh = s.out_h(), ow = s.out_w();
  char* staged_x = partial.x.need(count * x_image_);
  char* staged_g = partial.g.need(count * g_image_);
  std::int32_t** targets = partial.targets.need(s.kh);
  const char* present = partial.present.data();
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t r = 0; r < oh; ++r) {
      StagePixels stage;
      stage.row = g + (n * oh + r) * ow * s.o;
      stage.pixels = ow;
      stage.pixel_step = s.o;
      stage.channels = s.o;
      stage.count = ow;
      stage.lanes = g_lanes_;
      stage.out = staged_g + n * g_image_ + r * g_row_;
      kernels.stage_pixels(stage);
      for (std::int64_t kw = 0; kw < s.kw; ++kw) {
        std::int64_t taps = 0;
        for (std::int64_t kh = 0; kh < s.kh; ++kh) {
          const TapRectangle& valid = valid_[static_cast<std::size_t>(kh * s.kw + kw)];
          if (r < valid.oh_begin || r >= valid.oh_end) continue;
          targets[taps++] = partial.sum_g.data() + (kh * s.kw + kw) * g_lanes_;
        }
        kernels.pixel_sums({stage.out, steps_, g_lanes_, present + kw * steps_ * 4, false, targets, taps});
      }
    }
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      for (std::int64_t r = 0; r < staged_rows_; ++r) {
        char* out = staged_x + n * x_image_ + kw * x_copy_ + r * x_row_;
        const std::int64_t row = r - s.padding;
        if (row < 0 || row >= s.h) {
          std::memset(out, 0, static_cast<std::size_t>(x_row_));
          continue;
        }
        StagePixels stage;
        stage.row = x + (n * s.h + row) * s.w * s.c;
        stage.pixels = s.w;
        stage.pixel_step = s.c;
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
          targets[taps++] = partial.sum_x.data() + (kh * s.kw + kw) * x_lanes_;
        }
        kernels.pixel_sums({out, steps_, x_lanes_, present + s.kw * steps_ * 4, true, targets, taps});
      }
    }
  }
}

void WeightGradient::accumulate(const KernelTable& kernels, std::int64_t count, const Partial& staged,
                                std::int32_t* sums) const {
  const ConvShape& s = shape_;
  TapGradient tap;
  tap.g = staged.g.data();
  tap.images = count;
  tap.x_image = x_image_;
  tap.g_image = g_image_;
  tap.rows = s.out_h();
  tap.x_row = s.stride * x_row_;
  tap.g_row = g_row_;
  tap.steps = steps_;
  tap.x_lanes = x_lanes_;
  tap.g_lanes = g_lanes_;
  for (std::int64_t kh = 0; kh < s.kh; ++kh) {
    for (std::int64_t kw = 0; kw < s.kw; ++kw) {
      tap.x = staged.x.data() + kw * x_copy_ + kh * x_row_;
      tap.sums = sums + (kh * s.kw + kw) * g_lanes_ * x_lanes_;
      kernels.tap_gradient(tap);
    }
  }
}

void WeightGradient::finish(Workers& workers, std::vector<Partial>& partials, std::int64_t images, const Affine& x,
                            const Affine& g, float* dw) const {
  const ConvShape& s = shape_;
  const std::int64_t taps = s.kh * s.kw;
  const WeightGradientScale scale = weight_gradient_scale(g, x);
  // One task a tap and block of output channels: it adds the threads' sums and makes values of them.
  workers.each(taps * (g_lanes_ / kLanes), [&](int, std::int64_t task) {
    const std::int64_t t = task % taps, block = task / taps;
    const std::int64_t begin = (t * (g_lanes_ / kLanes) + block) * x_lanes_ * kLanes;
    const std::int64_t terms = images * valid_[static_cast<std::size_t>(t)].size();
    const std::int64_t last = std::min(s.o, (block + 1) * kLanes);
    for (std::int64_t c = 0; c < s.c; ++c) {
      std::int64_t sum_x = 128 * terms;
      for (const auto& partial : partials) {
        if (partial.used) sum_x += partial.total_x.data()[t * x_lanes_ + c] + partial.sum_x.data()[t * x_lanes_ + c];
      }
      for (std::int64_t o = block * kLanes; o < last; ++o) {
        const std::int64_t at = begin + c * kLanes + o % kLanes;
        std::int64_t acc = 0, sum_g = 0;
        for (const auto& partial : partials) {
          if (!partial.used) continue;
          acc += partial.total.data()[at] + partial.sums.data()[at];
          sum_g += partial.total_g.data()[t * g_lanes_ + o] + partial.sum_g.data()[t * g_lanes_ + o];
        }
        dw[(o * taps + t) * s.c + c] = rescale_weight_gradient(
            scale, to_binary64(acc + 128 * sum_g), to_binary64(sum_g), to_binary64(sum_x), to_binary64(terms));
      }
    }
  });
  for (auto& partial : partials) partial.used = false;
}

}  // namespace bitcycle::cpu
