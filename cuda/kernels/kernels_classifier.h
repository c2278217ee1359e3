// SPDX-License-Identifier: Apache-2.0
// The end of a network: float32 linear layer and softmax cross-entropy (docs/numerics.md, 6.2, 6.4, 7.1).
#pragma once

#include "cuda/kernels/kernels_common.h"
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

/// largest[0] = max |x|, largest[1] = max |dy|. One block.
struct LinearBoundsKernel {
  static constexpr const char* kName = "linear bounds";
  static constexpr int kThreads = 512;
  struct Args {
    LinearBackward linear;
    std::uint32_t x_size, dy_size;
    float* largest;
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static std::int32_t largest_of(const float* x, std::uint32_t size) {
    std::int32_t largest = 0;
    for (auto e = 4 * static_cast<std::uint32_t>(thread_index()); e < size;
         e += 4 * static_cast<std::uint32_t>(block_threads())) {
      const Quad quad = load_quad(x, e, size);
      for (int j = 0; j < 4; ++j) {
        const std::int32_t key = magnitude_key(quad.v[j]);
        largest = key > largest ? key : largest;
      }
    }
    return largest;
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<std::int32_t>(0);
    if (thread_index() < 2) shared_store(shared + thread_index(), 0);
    sync_threads();
    atomic_max(shared, largest_of(a.linear.x, a.x_size));
    atomic_max(shared + 1, largest_of(a.linear.dy, a.dy_size));
    sync_threads();
    if (thread_index() < 2)
      global_store(a.largest + thread_index(), float_of_bits(shared_load(shared + thread_index())));
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

/// A warp a sample; the last block sums the losses on the grid that their largest gives.
struct SoftmaxKernel {
  static constexpr const char* kName = "softmax cross-entropy";
  static constexpr int kThreads = 256;
  struct Args {
    SoftmaxCrossEntropy softmax;
    float* losses;  // (2, n): of samples; 1 where the prediction is right
    Scratch* scratch;
    bool partial;  // a sample of label -1 has no loss and no gradient
  };
  struct Shared {
    std::int64_t sum, correct;
    std::int32_t largest;
    std::uint32_t last;
  };
  static constexpr int kSharedBytes = sizeof(Shared);

  /// Lowest index of the largest logit, as softmax_cross_entropy_sample finds it; every lane calls and gets it.
  BITCYCLE_DEVICE static int largest_of(const float* z, int classes) {
    float best = -INFINITY;
    int at = INT32_MAX;
    for (int j = lane_index(); j < classes; j += 32) {
      const float v = global_load(z + j);
      if (v > best || (v == best && j < at)) {
        best = v;
        at = j;
      }
    }
    for (int m = 16; m > 0; m /= 2) {
      const float other = shuffle_xor(kAllLanes, best, m);
      const int other_at = shuffle_xor(kAllLanes, at, m);
      if (other > best || (other == best && other_at < at)) {
        best = other;
        at = other_at;
      }
    }
    const float first = global_load(z);
    return at == INT32_MAX || !(first == first) ? 0 : at;  // nothing compares with NaN
  }
  BITCYCLE_DEVICE static void sample(const Args& a, int n, float inverse_n) {
    const SoftmaxCrossEntropy& s = a.softmax;
    const auto classes = static_cast<int>(s.classes);
    const float* z = s.logits + static_cast<std::int64_t>(n) * classes;
    float* gradient = s.dlogits == nullptr ? nullptr : s.dlogits + static_cast<std::int64_t>(n) * classes;
    const int label = global_load(s.labels + n);
    if (a.partial && label < 0) {
      for (int j = lane_index(); gradient != nullptr && j < classes; j += 32) global_store(gradient + j, 0.0F);
      if (lane_index() == 0) store_loss(a, n, 0.0F, false);
      return;
    }
    const int largest = largest_of(z, classes);
    const float m = global_load(z + largest);
    float sum = 0.0F;
    for (int first = 0; first < classes; first += 32) {
      const int j = first + lane_index();
      const float e = j < classes ? exp_f32(global_load(z + j) - m) : 0.0F;
      if (gradient != nullptr && j < classes) global_store(gradient + j, e);
      // Ascending by class, the same sum in every lane.
      const int count = classes - first < 32 ? classes - first : 32;
      for (int k = 0; k < count; ++k) sum = sum + shuffle_from(kAllLanes, e, k);
    }
    for (int j = lane_index(); gradient != nullptr && j < classes; j += 32) {
      global_store(gradient + j, softmax_gradient(global_load(gradient + j), sum, j == label, inverse_n));
    }
    if (lane_index() != 0) return;
    store_loss(a, n, softmax_loss(sum, global_load(z + label), m), largest == label);
  }
  BITCYCLE_DEVICE static void store_loss(const Args& a, int n, float loss, bool correct) {
    const SoftmaxCrossEntropy& s = a.softmax;
    global_store(a.losses + n, loss);
    if (s.losses != nullptr) global_store(s.losses + n, loss);
    global_store(a.losses + s.n + n, correct ? 1.0F : 0.0F);
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const SoftmaxCrossEntropy& s = a.softmax;
    const auto samples = static_cast<int>(s.n), warps = block_threads() / 32;
    const float inverse_n = s.n == 0 ? 0.0F : 1.0F / static_cast<float>(s.n);
    for (int n = block_index() * warps + thread_index() / 32; n < samples; n += block_count() * warps) {
      sample(a, n, inverse_n);
    }
    auto* shared = shared_memory<Shared>(0);
    if (!last_block(&a.scratch->arrivals, &shared->last)) return;
    if (thread_index() == 0) {
      shared->sum = shared->correct = 0;
      shared->largest = 0;
    }
    sync_threads();
    std::int32_t largest = 0;
    std::int64_t correct = 0;
    for (int n = thread_index(); n < samples; n += block_threads()) {
      const std::int32_t key = magnitude_key(global_load(a.losses + n));
      largest = key > largest ? key : largest;
      correct += global_load(a.losses + s.n + n) > 0.0F ? 1 : 0;
    }
    atomic_max(&shared->largest, largest);
    atomic_add(&shared->correct, correct);
    sync_threads();
    const int exponent =
        sum_exponent(static_cast<double>(float_of_bits(shared->largest)), static_cast<std::uint64_t>(s.n));
    const float to_grid = power_of_two(exponent);
    std::int64_t sum = 0;
    for (int n = thread_index(); n < samples; n += block_threads()) {
      add_wrapping(sum, on_grid(global_load(a.losses + n), to_grid));
    }
    atomic_add(&shared->sum, sum);
    sync_threads();
    if (thread_index() != 0) return;
    LossRecord record;
    record.correct = shared->correct;
    if (s.n != 0) record.loss = sum_value(shared->sum, exponent) / static_cast<double>(s.n);
    *s.record = record;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
