// SPDX-License-Identifier: Apache-2.0
// The end of a network on vectors and all threads: average pool, float32 linear layers, softmax cross-entropy
// (docs/numerics.md, 6.2 to 6.5 and 7.1). Sums keep their written order: a lane of a vector is an output of its own.
#include <algorithm>
#include <atomic>
#include <span>

#include "sim/cpu/cpu_library.h"
#include "sim/cpu/softmax_rows.h"
#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/mean_loss.h"
#include "sim/ops/softmax.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kSamplesAtOnce = 64;    // that share a packed block of weights
constexpr std::int64_t kColumnsAtOnce = 1024;  // of a sum over samples

}  // namespace

void CpuLibrary::average_pool(const AveragePool& args) {
  const auto timing = profile_.time("average pool");
  workers_.each(args.n, [&](int, std::int64_t n) {
    float* pooled = args.pooled + n * args.channels;
    std::fill_n(pooled, args.channels, 0.0F);
    for (std::int64_t p = 0; p < args.positions; ++p) {
      const float* x = args.x + (n * args.positions + p) * args.channels;
      for (std::int64_t c = 0; c < args.channels; ++c) pooled[c] = pooled[c] + x[c];
    }
    for (std::int64_t c = 0; c < args.channels; ++c) pooled[c] = pooled[c] / static_cast<float>(args.positions);
  });
}

void CpuLibrary::ordered_matrix(const OrderedMatrix& m) {
  level(states_);
  const std::int64_t blocks = (m.outputs + kLanes - 1) / kLanes, chunks = (m.n + kSamplesAtOnce - 1) / kSamplesAtOnce;
  workers_.each(blocks * chunks, [&](int thread, std::int64_t task) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    const std::int64_t first = task / chunks * kLanes, begin = task % chunks * kSamplesAtOnce;
    const std::int64_t lanes = std::min(kLanes, m.outputs - first), samples = std::min(kSamplesAtOnce, m.n - begin);
    float* packed = state.values.need(m.inputs * kLanes);
    float* sums = state.dx.need(kSamplesAtOnce * kLanes);
    for (std::int64_t i = 0; i < m.inputs; ++i) {
      const float* w = m.w + first * m.output_step + i * m.input_step;
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        packed[i * kLanes + lane] = lane < lanes ? w[lane * m.output_step] : 0.0F;
      }
    }
    constexpr std::int64_t kOffset = 0;
    OrderedRow<float> row;
    row.x = m.x + begin * m.inputs;
    row.pixels = samples;
    row.pixel_step = m.inputs;
    row.taps = 1;
    row.offsets = row.weight_offsets = &kOffset;
    row.channels = m.inputs;
    row.weights = packed;
    row.lanes = row.out_step = kLanes;
    row.out = sums;
    kernels_.ordered_row32(row);
    for (std::int64_t n = 0; n < samples; ++n) {
      float* y = m.y + (begin + n) * m.outputs + first;
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const float sum = sums[n * kLanes + lane];
        y[lane] = m.bias == nullptr ? sum : sum + m.bias[first + lane];
      }
    }
  });
}

void CpuLibrary::linear_forward(const LinearForward& args) {
  const auto timing = profile_.time("linear forward", args.n * args.inputs * args.outputs);
  ordered_matrix({args.n, args.inputs, args.outputs, args.x, args.w, 1, args.inputs, args.bias, args.y});
}

float CpuLibrary::largest_magnitude(const float* x, std::int64_t size) {
  for (auto& state : states_) state.magnitude = 0;
  workers_.chunks(size, std::int64_t{1} << 14, [&](int thread, std::int64_t begin, std::int64_t end) {
    kernels_.magnitude(x + begin, end - begin, &states_[static_cast<std::size_t>(thread)].magnitude);
  });
  std::int32_t magnitude = 0;
  for (const auto& state : states_) magnitude = std::max(magnitude, state.magnitude);
  return float_of_bits(magnitude);
}

void CpuLibrary::linear_backward(const LinearBackward& args) {
  const int passes = (args.dx != nullptr ? 1 : 0) + (args.dw != nullptr ? 1 : 0);
  const auto timing = profile_.time("linear backward", passes * args.n * args.inputs * args.outputs);
  if (args.dx != nullptr) {
    ordered_matrix({args.n, args.outputs, args.inputs, args.dy, args.w, args.inputs, 1, nullptr, args.dx});
  }
  if (args.dw == nullptr && args.dbias == nullptr) return;
  level(states_);
  const auto dy_bound = static_cast<double>(largest_magnitude(args.dy, args.n * args.outputs));
  if (args.dw != nullptr) {
    const double bound = static_cast<double>(largest_magnitude(args.x, args.n * args.inputs)) * dy_bound;
    const int exponent = sum_exponent(bound, static_cast<std::uint64_t>(args.n));
    const float scale = power_of_two(exponent);
    workers_.each(args.outputs, [&](int thread, std::int64_t o) {
      std::int64_t* sums = states_[static_cast<std::size_t>(thread)].grid_sums.zeroed(args.inputs);
      for (std::int64_t n = 0; n < args.n; ++n) {
        kernels_.add_products_on_grid(args.x + n * args.inputs, args.dy[n * args.outputs + o], args.inputs, scale,
                                      sums);
      }
      for (std::int64_t i = 0; i < args.inputs; ++i) {
        args.dw[o * args.inputs + i] = static_cast<float>(sum_value(sums[i], exponent));
      }
    });
  }
  if (args.dbias == nullptr) return;
  const int exponent = sum_exponent(dy_bound, static_cast<std::uint64_t>(args.n));
  workers_.chunks(args.outputs, kColumnsAtOnce, [&](int thread, std::int64_t begin, std::int64_t end) {
    std::int64_t* sums = states_[static_cast<std::size_t>(thread)].grid_sums.zeroed(end - begin);
    for (std::int64_t n = 0; n < args.n; ++n) {
      kernels_.add_on_grid(args.dy + n * args.outputs + begin, end - begin, power_of_two(exponent), sums);
    }
    for (std::int64_t o = begin; o < end; ++o) {
      args.dbias[o] = static_cast<float>(sum_value(sums[o - begin], exponent));
    }
  });
}

void CpuLibrary::softmax_cross_entropy(const SoftmaxCrossEntropy& args) {
  const auto timing = profile_.time("softmax cross-entropy");
  level(states_);
  SoftmaxRows rows;
  rows.logits = args.logits;
  rows.labels = args.labels;
  rows.classes = args.classes;
  rows.inverse_n = args.n == 0 ? 0.0F : 1.0F / static_cast<float>(args.n);
  rows.dlogits = args.dlogits;
  rows.losses = args.losses != nullptr ? args.losses : losses_.need(args.n);
  std::atomic<std::int64_t> correct{0};
  workers_.chunks(args.n, kSummedRows, [&](int thread, std::int64_t begin, std::int64_t end) {
    correct += softmax_rows(kernels_, rows, begin, end,
                            states_[static_cast<std::size_t>(thread)].values.need(kSoftmaxScratch));
  });
  LossRecord record;
  record.correct = correct.load();
  record.loss = mean_loss(std::span<const float>(rows.losses, static_cast<std::size_t>(args.n)));
  *args.record = record;
}

}  // namespace bitcycle::cpu
