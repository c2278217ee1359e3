// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/float_gradient.h"

#include <algorithm>

#include "sim/number/order_free_sum.h"

namespace bitcycle::cpu {

FloatGradient::FloatGradient(const ConvShape& s) : shape_(s) {
  // Above so many weights an image's own sums leave the cache; below so many positions its operands stay in it.
  constexpr std::int64_t kManyWeights = 32768, kFewPositions = 1024, kFewest = 256;
  const std::int64_t positions = s.out_h() * s.out_w();
  wanted_ = s.groups == 1 && positions <= kFewPositions && s.weight_size() >= kManyWeights;
  channels_ = positions <= kFewest ? 128 : 64;
  block_lanes_ = positions <= kFewest ? 256 : 128;
}

void FloatGradient::block(const KernelTable& kernels, std::int64_t task, State& state, std::int64_t images,
                          const float* x, const float* g, int exponent, float* dw) const {
  const ConvShape& s = shape_;
  const std::int64_t taps = s.kh * s.kw, tap = task % taps, part = task / taps;
  const std::int64_t channel = part % channel_blocks() * channels_, lane = part / channel_blocks() * block_lanes_;
  const TapRectangle valid = valid_outputs(s, tap / s.kw, tap % s.kw);
  FloatGradientBlock block;
  block.rows = std::max<std::int64_t>(0, valid.oh_end - valid.oh_begin);
  block.pixels = std::max<std::int64_t>(0, valid.ow_end - valid.ow_begin);
  block.channels = std::min(channels_, s.c - channel);
  block.lanes = std::min(block_lanes_, s.o - lane);
  block.x_step = s.stride * s.c;
  block.x_row = s.stride * s.w * s.c;
  block.g_step = s.o;
  block.g_row = s.out_w() * s.o;
  block.packed = state.packed.need(float_gradient_memory(s.out_h() * s.out_w(), channels_, block_lanes_));
  block.scale = power_of_two(exponent);
  state.sums.need(channels_ * lanes_for(block_lanes_));
  const std::int64_t lanes = lanes_for(block.lanes);
  block.sums = state.sums.data();
  std::fill_n(block.sums, block.channels * lanes, std::int64_t{0});
  const std::int64_t h = valid.oh_begin * s.stride - s.padding + tap / s.kw;
  const std::int64_t w = valid.ow_begin * s.stride - s.padding + tap % s.kw;
  for (std::int64_t n = 0; n < images && block.rows * block.pixels > 0; ++n) {
    block.x = x + ((n * s.h + h) * s.w + w) * s.c + channel;
    block.g = g + ((n * s.out_h() + valid.oh_begin) * s.out_w() + valid.ow_begin) * s.o + lane;
    kernels.float_gradient(block);
  }
  // A cache line of sums at a time.
  constexpr std::int64_t kAtOnce = 8;
  for (std::int64_t first = 0; first < block.lanes; first += kAtOnce) {
    for (std::int64_t i = 0; i < block.channels; ++i) {
      for (std::int64_t o = first; o < std::min(block.lanes, first + kAtOnce); ++o) {
        dw[((lane + o) * taps + tap) * s.c + channel + i] =
            static_cast<float>(sum_value(block.sums[i * lanes + o], exponent));
      }
    }
  }
}

}  // namespace bitcycle::cpu
