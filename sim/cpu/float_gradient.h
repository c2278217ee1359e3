// SPDX-License-Identifier: Apache-2.0
// The weight gradient of binary32 operands with many weights and few positions an image: block by block of weights, so
// that the sums of all images stay in the cache (docs/numerics.md, 6.2).
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::cpu {

class FloatGradient {
 public:
  FloatGradient() = default;
  explicit FloatGradient(const ConvShape& shape);

  /// One thread's memory.
  struct State {
    Scratch<float> packed;
    Scratch<std::int64_t> sums;  // (channels, lanes) of a block

    template <typename Visit>
    static void each_scratch(State& a, const State& b, const Visit& visit) {
      visit(a.packed, b.packed);
      visit(a.sums, b.sums);
    }
  };

  /// Both operands in binary32, and a shape for which blocks are faster than images.
  bool takes(BitWidth x, BitWidth g) const { return wanted_ && x.is_float32() && g.is_float32(); }
  /// dw (o, kh, kw, c) of `images` images x (h, w, c) and g (out_h, out_w, o); exponent: the grid on which samples'
  /// sums are added. state(thread) gives a thread's State.
  template <typename StateOf>
  void run(const KernelTable& kernels, Workers& workers, const StateOf& state, std::int64_t images, const float* x,
           const float* g, int exponent, float* dw) const {
    workers.each(tasks(), [&](int thread, std::int64_t task) {
      block(kernels, task, state(thread), images, x, g, exponent, dw);
    });
  }

 private:
  std::int64_t channel_blocks() const { return (shape_.c + channels_ - 1) / channels_; }
  std::int64_t lane_blocks() const { return (shape_.o + block_lanes_ - 1) / block_lanes_; }
  std::int64_t tasks() const { return shape_.kh * shape_.kw * channel_blocks() * lane_blocks(); }
  void block(const KernelTable& kernels, std::int64_t task, State& state, std::int64_t images, const float* x,
             const float* g, int exponent, float* dw) const;

  ConvShape shape_;
  bool wanted_ = false;
  std::int64_t channels_ = 1, block_lanes_ = 1;  // of a block
};

}  // namespace bitcycle::cpu
