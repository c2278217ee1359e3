// SPDX-License-Identifier: Apache-2.0
// The end of a network: average pool, float32 linear layer, softmax cross-entropy (docs/numerics.md, 6.2 to 6.5, 7.1).
#include <cmath>
#include <span>
#include <vector>

#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/mean_loss.h"
#include "sim/ops/softmax.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {

void average_pool(const AveragePool& args) {
  for (std::int64_t n = 0; n < args.n; ++n) {
    for (std::int64_t c = 0; c < args.channels; ++c) {
      float sum = 0.0F;
      for (std::int64_t p = 0; p < args.positions; ++p) {
        sum = sum + args.x[(n * args.positions + p) * args.channels + c];
      }
      args.pooled[n * args.channels + c] = sum / static_cast<float>(args.positions);
    }
  }
}

void average_pool_backward(const AveragePoolBackward& args) {
  const std::int64_t size = args.n * args.positions * args.channels;
  std::vector<float> dx(static_cast<std::size_t>(size));
  for (std::int64_t e = 0; e < size; ++e) {
    const std::int64_t n = e / (args.positions * args.channels);
    dx[static_cast<std::size_t>(e)] =
        args.dpooled[n * args.channels + e % args.channels] / static_cast<float>(args.positions);
  }
  if (args.dx != nullptr) std::copy(dx.begin(), dx.end(), args.dx);
  if (args.gradient_sum != nullptr) {
    const double bound = static_cast<double>(max_magnitude(args.dpooled, args.n * args.channels));
    sum_gradients(*args.gradient_sum, dx, bound, args.n * args.positions, args.channels);
  }
}

void linear_forward(const LinearForward& args) {
  for (std::int64_t n = 0; n < args.n; ++n) {
    for (std::int64_t o = 0; o < args.outputs; ++o) {
      float sum = 0.0F;
      for (std::int64_t i = 0; i < args.inputs; ++i) {
        sum = std::fma(args.x[n * args.inputs + i], args.w[o * args.inputs + i], sum);
      }
      args.y[n * args.outputs + o] = args.bias == nullptr ? sum : sum + args.bias[o];
    }
  }
}

namespace {

void linear_error(const LinearBackward& args) {
  for (std::int64_t n = 0; n < args.n; ++n) {
    for (std::int64_t i = 0; i < args.inputs; ++i) {
      float sum = 0.0F;
      for (std::int64_t o = 0; o < args.outputs; ++o) {
        sum = std::fma(args.dy[n * args.outputs + o], args.w[o * args.inputs + i], sum);
      }
      args.dx[n * args.inputs + i] = sum;
    }
  }
}

void linear_weight_gradient(const LinearBackward& args) {
  const double bound = static_cast<double>(max_magnitude(args.x, args.n * args.inputs)) *
                       static_cast<double>(max_magnitude(args.dy, args.n * args.outputs));
  const int exponent = sum_exponent(bound, static_cast<std::uint64_t>(args.n));
  for (std::int64_t o = 0; o < args.outputs; ++o) {
    for (std::int64_t i = 0; i < args.inputs; ++i) {
      std::int64_t sum = 0;
      for (std::int64_t n = 0; n < args.n; ++n) {
        add_wrapping(sum, on_grid(args.x[n * args.inputs + i] * args.dy[n * args.outputs + o], power_of_two(exponent)));
      }
      args.dw[o * args.inputs + i] = static_cast<float>(sum_value(sum, exponent));
    }
  }
}

void linear_bias_gradient(const LinearBackward& args) {
  const double bound = static_cast<double>(max_magnitude(args.dy, args.n * args.outputs));
  const int exponent = sum_exponent(bound, static_cast<std::uint64_t>(args.n));
  for (std::int64_t o = 0; o < args.outputs; ++o) {
    std::int64_t sum = 0;
    for (std::int64_t n = 0; n < args.n; ++n)
      add_wrapping(sum, on_grid(args.dy[n * args.outputs + o], power_of_two(exponent)));
    args.dbias[o] = static_cast<float>(sum_value(sum, exponent));
  }
}

}  // namespace

void linear_backward(const LinearBackward& args) {
  if (args.dx != nullptr) linear_error(args);
  if (args.dw != nullptr) linear_weight_gradient(args);
  if (args.dbias != nullptr) linear_bias_gradient(args);
}

void softmax_cross_entropy(const SoftmaxCrossEntropy& args) {
  LossRecord record;
  const float inverse_n = args.n == 0 ? 0.0F : 1.0F / static_cast<float>(args.n);
  std::vector<float> own(static_cast<std::size_t>(args.losses == nullptr ? args.n : 0));
  const std::span<float> losses(args.losses == nullptr ? own.data() : args.losses, static_cast<std::size_t>(args.n));
  for (std::int64_t n = 0; n < args.n; ++n) {
    const SampleLoss sample =
        softmax_cross_entropy_sample(args.logits + n * args.classes, args.classes, args.labels[n], inverse_n,
                                     args.dlogits == nullptr ? nullptr : args.dlogits + n * args.classes);
    losses[static_cast<std::size_t>(n)] = sample.loss;
    record.correct += sample.correct ? 1 : 0;
  }
  record.loss = mean_loss(losses);
  *args.record = record;
}

}  // namespace bitcycle::reference
