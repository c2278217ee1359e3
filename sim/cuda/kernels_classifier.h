// SPDX-License-Identifier: Apache-2.0
// The end of a network: float32 linear layer and softmax cross-entropy (docs/numerics.md, 6.2, 6.4, 7.1).
#pragma once

#include "sim/cuda/kernels_common.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/softmax.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

struct LinearForwardKernel {
  static constexpr const char* kName = "linear forward";
  static constexpr int kThreads = 128;
  struct Args {
    LinearForward linear;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LinearForward& f = a.linear;
    for (std::int64_t i = first_element(); i < f.n * f.outputs; i += grid_threads()) {
      const float* x = f.x + i / f.outputs * f.inputs;
      const float* w = f.w + i % f.outputs * f.inputs;
      float sum = 0.0F;
      for (std::int64_t k = 0; k < f.inputs; ++k) sum = fmaf(global_load(x + k), global_load(w + k), sum);
      global_store(f.y + i, f.bias == nullptr ? sum : sum + global_load(f.bias + i % f.outputs));
    }
  }
};

struct LinearErrorKernel {
  static constexpr const char* kName = "linear error";
  static constexpr int kThreads = 128;
  struct Args {
    LinearBackward linear;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LinearBackward& b = a.linear;
    for (std::int64_t i = first_element(); i < b.n * b.inputs; i += grid_threads()) {
      const float* dy = b.dy + i / b.inputs * b.outputs;
      const float* w = b.w + i % b.inputs;
      float sum = 0.0F;
      for (std::int64_t o = 0; o < b.outputs; ++o) {
        sum = fmaf(global_load(dy + o), global_load(w + o * b.inputs), sum);
      }
      global_store(b.dx + i, sum);
    }
  }
};

/// dw and dbias; largest[0] = max |x|, largest[1] = max |dy|.
struct LinearGradientKernel {
  static constexpr const char* kName = "linear weight gradient";
  static constexpr int kThreads = 128;
  struct Args {
    LinearBackward linear;
    const float* largest;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LinearBackward& b = a.linear;
    const auto count = static_cast<std::uint64_t>(b.n);
    const auto dy_bound = static_cast<double>(global_load(a.largest + 1));
    const double bound = static_cast<double>(global_load(a.largest)) * dy_bound;
    const std::int64_t weights = b.dw == nullptr ? 0 : b.outputs * b.inputs;
    const std::int64_t all = weights + (b.dbias == nullptr ? 0 : b.outputs);
    for (std::int64_t i = first_element(); i < all; i += grid_threads()) {
      const bool bias = i >= weights;
      const std::int64_t o = bias ? i - weights : i / b.inputs;
      const int exponent = sum_exponent(bias ? dy_bound : bound, count);
      const float to_grid = power_of_two(exponent);
      std::int64_t sum = 0;
      for (std::int64_t n = 0; n < b.n; ++n) {
        const float dy = global_load(b.dy + n * b.outputs + o);
        add_wrapping(sum, on_grid(bias ? dy : global_load(b.x + n * b.inputs + i % b.inputs) * dy, to_grid));
      }
      global_store(bias ? b.dbias + o : b.dw + i, static_cast<float>(sum_value(sum, exponent)));
    }
  }
};

/// One block: a thread a sample, the losses kept to be summed on the grid that their largest gives.
struct SoftmaxKernel {
  static constexpr const char* kName = "softmax cross-entropy";
  static constexpr int kThreads = 256;
  struct Args {
    SoftmaxCrossEntropy softmax;
    float* losses;  // (n)
  };
  struct Shared {
    std::int64_t sum, correct;
    std::int32_t largest;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const SoftmaxCrossEntropy& s = a.softmax;
    auto* shared = shared_memory<Shared>(0);
    if (thread_index() == 0) *shared = Shared{0, 0, 0};
    sync_threads();
    const float inverse_n = s.n == 0 ? 0.0F : 1.0F / static_cast<float>(s.n);
    for (std::int64_t n = thread_index(); n < s.n; n += block_threads()) {
      const SampleLoss sample =
          softmax_cross_entropy_sample(s.logits + n * s.classes, s.classes, global_load(s.labels + n), inverse_n,
                                       s.dlogits == nullptr ? nullptr : s.dlogits + n * s.classes);
      global_store(a.losses + n, sample.loss);
      atomic_max(&shared->largest, magnitude_key(sample.loss));
      if (sample.correct) atomic_add(&shared->correct, std::int64_t{1});
    }
    sync_threads();
    const int exponent =
        sum_exponent(static_cast<double>(float_of_bits(shared->largest)), static_cast<std::uint64_t>(s.n));
    const float to_grid = power_of_two(exponent);
    for (std::int64_t n = thread_index(); n < s.n; n += block_threads()) {
      atomic_add(&shared->sum, on_grid(global_load(a.losses + n), to_grid));
    }
    sync_threads();
    if (thread_index() != 0) return;
    LossRecord record;
    record.correct = shared->correct;
    if (s.n != 0) record.loss = sum_value(shared->sum, exponent) / static_cast<double>(s.n);
    *s.record = record;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
