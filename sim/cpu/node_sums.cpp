// SPDX-License-Identifier: Apache-2.0
// Layer normalisation, gradients of biases, and optimisers.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "sim/cpu/nodes.h"
#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/gradient_norm.h"
#include "sim/ops/magnitude_bounds.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 16;

struct NormRowsOf {
  std::int64_t c, rows;
};
NormRowsOf rows_of(Tensor x, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(x);
  return {c, memory.size(x) / c};
}

}  // namespace

void Nodes::run(const ops::LayerNorm& op, const StepMemory& memory) {
  const auto [c, rows] = rows_of(op.x, memory);
  const std::int64_t width = c;
  workers_.chunks(rows, kRowsAtOnce, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.language.layer_norm({memory.data<float>(op.x) + r * width, width, memory.data<float>(op.gamma),
                                    memory.data<float>(op.beta), op.eps, memory.data<float>(op.statistics) + 2 * r,
                                    memory.data<float>(op.y) + r * width});
    }
  });
}

void Nodes::run(const ops::LayerNormGradient& op, const StepMemory& memory) {
  const auto [c, rows] = rows_of(op.x, memory);
  const std::int64_t width = c;
  const auto* statistics = memory.data<RowStatistics>(op.statistics);
  workers_.chunks(rows, kRowsAtOnce, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.language.layer_norm_gradient({memory.data<float>(op.x) + r * width,
                                             memory.data<float>(op.dy) + r * width, width, memory.data<float>(op.gamma),
                                             statistics[r].mean, statistics[r].inverse_deviation,
                                             memory.data<float>(op.dx) + r * width});
    }
  });
}

void Nodes::run(const ops::LayerNormParameterGradient& op, const StepMemory& memory) {
  const auto [c, rows] = rows_of(op.x, memory);
  const std::int64_t width = c, count = rows;
  const double bound = ops::bound_value(op.bound, memory);
  const int of_gamma = sum_exponent(layer_norm_bound(bound, width), static_cast<std::uint64_t>(count)),
            of_beta = sum_exponent(bound, static_cast<std::uint64_t>(count));
  const auto* statistics = memory.data<RowStatistics>(op.statistics);
  // Integers: whoever adds them up.
  const std::int64_t parts = workers_.threads(), share = (count + parts - 1) / parts;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(parts * 2 * width));
  workers_.each(parts, [&](int thread, std::int64_t part) {
    std::int64_t* gamma = sums.data() + part * 2 * width;
    float* products = of(thread).values.need(width);
    for (std::int64_t r = part * share; r < std::min(count, (part + 1) * share); ++r) {
      const float* dy = memory.data<float>(op.dy) + r * width;
      kernels_.language.layer_norm_products({memory.data<float>(op.x) + r * width, dy, width, nullptr,
                                             statistics[r].mean, statistics[r].inverse_deviation, products});
      kernels_.add_on_grid(products, width, power_of_two(of_gamma), gamma);
      kernels_.add_on_grid(dy, width, power_of_two(of_beta), gamma + width);
    }
  });
  for (std::int64_t i = 0; i < width; ++i) {
    std::int64_t gamma = 0, beta = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      add_wrapping(gamma, sums[static_cast<std::size_t>(part * 2 * width + i)]);
      add_wrapping(beta, sums[static_cast<std::size_t>((part * 2 + 1) * width + i)]);
    }
    memory.data<float>(op.dgamma)[i] = static_cast<float>(sum_value(gamma, of_gamma));
    memory.data<float>(op.dbeta)[i] = static_cast<float>(sum_value(beta, of_beta));
  }
}

void Nodes::run(const ops::BiasGradient& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.dy), rows = memory.size(op.dy) / channels;
  const int exponent = sum_exponent(ops::bound_value(op.bound, memory), static_cast<std::uint64_t>(rows));
  const auto* dy = memory.data<float>(op.dy);
  auto* dbias = memory.data<float>(op.dbias);
  const std::int64_t parts = workers_.threads(), share = (rows + parts - 1) / parts;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(parts * channels));
  workers_.each(parts, [&](int, std::int64_t part) {
    for (std::int64_t r = part * share; r < std::min(rows, (part + 1) * share); ++r) {
      kernels_.add_on_grid(dy + r * channels, channels, power_of_two(exponent), sums.data() + part * channels);
    }
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int64_t sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      add_wrapping(sum, sums[static_cast<std::size_t>(part * channels + c)]);
    }
    dbias[c] = static_cast<float>(sum_value(sum, exponent));
  }
}

double Nodes::norm_of(const std::vector<Tensor>& gradients, const StepMemory& memory) {
  double largest = 0.0;
  std::uint64_t count = 0;
  for (const Tensor gradient : gradients) {
    const float here = largest_magnitude(memory.data<float>(gradient), memory.size(gradient));
    if (!is_finite_bits(here)) return ops::gradient_norm(gradients, memory);
    largest = std::max(largest, static_cast<double>(here));
    count += static_cast<std::uint64_t>(memory.size(gradient));
  }
  if (largest == 0.0) return 0.0;
  const int scale = -exponent_above(largest), exponent = sum_exponent(1.0, count);
  std::int64_t sum = 0;
  for (const Tensor gradient : gradients) {
    const auto* g = memory.data<float>(gradient);
    std::atomic<std::uint64_t> total{0};
    over_elements(memory.size(gradient), [&](int, std::int64_t begin, std::int64_t end) {
      total += static_cast<std::uint64_t>(
          kernels_.language.squares_on_grid(g + begin, std::ldexp(1.0, scale), std::ldexp(1.0, exponent), end - begin));
    });
    add_wrapping(sum, static_cast<std::int64_t>(total.load()));
  }
  return std::ldexp(std::sqrt(sum_value(sum, exponent)), -scale);
}

void Nodes::run(const ops::SgdClipped& op, const StepMemory& memory) {
  auto& norm = memory.value<double>(op.norm);
  norm = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  norm = norm_of(op.gradients, memory);
  const float factor = ops::clip_factor(op.clip, norm), rate = memory.value<float>(op.rate);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    const auto* g = memory.data<float>(op.gradients[i]);
    auto* w = memory.data<float>(op.parameters[i]);
    over_elements(memory.size(op.parameters[i]), [&](int, std::int64_t begin, std::int64_t end) {
      kernels_.language.sgd_clipped(g + begin, factor, rate, end - begin, w + begin);
    });
  }
}

void Nodes::run(const ops::Adamw& op, const StepMemory& memory) {
  const bool clips = op.rule.clip > 0.0;
  if (clips) memory.value<double>(op.norm) = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  float factor = 1.0F;
  if (clips) {
    factor = ops::clip_factor(op.rule.clip, memory.value<double>(op.norm) = norm_of(op.gradients, memory));
  }
  const AdamwStep step =
      adamw_step(op.rule, memory.value<float>(op.rate), memory.value<std::uint32_t>(op.step), factor);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    over_elements(memory.size(op.parameters[i]), [&](int, std::int64_t begin, std::int64_t end) {
      AdamwRow row;
      row.g = memory.data<float>(op.gradients[i]) + begin;
      row.m = memory.data<float>(op.moments[i]) + begin;
      row.v = memory.data<float>(op.squares[i]) + begin;
      row.p = memory.data<float>(op.parameters[i]) + begin;
      row.count = end - begin;
      row.beta1 = step.beta1;
      row.rest1 = step.rest1;
      row.beta2 = step.beta2;
      row.rest2 = step.rest2;
      row.eps = step.eps;
      row.decay = step.decay;
      row.size = step.size;
      row.factor = step.factor;
      row.clips = clips;
      kernels_.language.adamw(row);
    });
  }
}

}  // namespace bitcycle::cpu
