// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/max_pool.h"

#include <algorithm>

namespace bitcycle::ops {
namespace {

void check_maps(const PoolWindow& window, Tensor x, Tensor z, const char* z_role, const Operands& operands) {
  const auto& shape = operands.of(x, "x").shape;
  if (shape.size() != 4) operands.fail("x must be (n, h, w, c)");
  if (window.kernel < 1 || window.stride < 1 || window.padding < 0 || 2 * window.padding > window.kernel ||
      window.kernel > shape[1] + 2 * window.padding || window.kernel > shape[2] + 2 * window.padding) {
    operands.fail("a window of " + std::to_string(window.kernel) + ", stride " + std::to_string(window.stride) +
                  ", padding " + std::to_string(window.padding) + " does not fit " + shape_text(shape));
  }
  operands.require(x, "x", Element::kFloat32, shape);
  operands.require(z, z_role, Element::kFloat32, {shape[0], window.out(shape[1]), window.out(shape[2]), shape[3]});
}

/// visit(output, input) for every window of the samples and every channel: the elements of its result and its maximum.
template <typename Visit>
void for_each_maximum(const PoolWindow& window, const std::vector<std::int64_t>& shape, std::int64_t samples,
                      const float* x, Visit visit) {
  const std::int64_t h = shape[1], w = shape[2], channels = shape[3];
  const std::int64_t out_h = window.out(h), out_w = window.out(w);
  for (std::int64_t n = 0; n < samples; ++n) {
    for (std::int64_t oh = 0; oh < out_h; ++oh) {
      for (std::int64_t ow = 0; ow < out_w; ++ow) {
        const std::int64_t row = oh * window.stride - window.padding, column = ow * window.stride - window.padding;
        for (std::int64_t c = 0; c < channels; ++c) {
          std::int64_t best = -1;
          for (std::int64_t i = std::max<std::int64_t>(0, row); i < std::min(h, row + window.kernel); ++i) {
            for (std::int64_t j = std::max<std::int64_t>(0, column); j < std::min(w, column + window.kernel); ++j) {
              const std::int64_t at = ((n * h + i) * w + j) * channels + c;
              if (best < 0 || x[at] > x[best]) best = at;
            }
          }
          visit(((n * out_h + oh) * out_w + ow) * channels + c, best);
        }
      }
    }
  }
}

}  // namespace

void check(const MaxPool& op, const Operands& operands) { check_maps(op.window, op.x, op.z, "z", operands); }

void run(const MaxPool& op, const StepMemory& memory) {
  const auto& shape = memory.spec(op.x).shape;
  const auto* x = memory.data<float>(op.x);
  auto* z = memory.data<float>(op.z);
  for_each_maximum(op.window, shape, memory.at_samples(shape[0]), x,
                   [&](std::int64_t out, std::int64_t in) { z[out] = x[in]; });
}

void check(const MaxPoolGradient& op, const Operands& operands) {
  check_maps(op.window, op.x, op.dz, "dz", operands);
  operands.require(op.dx, "dx", Element::kFloat32, operands.of(op.x, "x").shape);
}

void run(const MaxPoolGradient& op, const StepMemory& memory) {
  const auto& shape = memory.spec(op.x).shape;
  const auto* dz = memory.data<float>(op.dz);
  auto* dx = memory.data<float>(op.dx);
  std::fill_n(dx, memory.size(op.dx), 0.0F);
  for_each_maximum(op.window, shape, memory.at_samples(shape[0]), memory.data<float>(op.x),
                   [&](std::int64_t out, std::int64_t in) { dx[in] = dx[in] + dz[out]; });
}

}  // namespace bitcycle::ops
