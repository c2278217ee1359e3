// SPDX-License-Identifier: Apache-2.0
// What the bindings of fused operations share: shapes at a step's samples, widths, addresses.
#pragma once

#include <memory>

#include "sim/device/fused/fused_entry.h"

namespace bitcycle::fused {

ConvShape at(const ops::Contraction& over, const Program& program, std::int64_t samples);

/// Rows of samples, for tensors of (samples, ..., channels).
std::int64_t rows(const Program& program, Tensor tensor, std::int64_t samples);

BitWidth width_of(const KernelStep& step, Tensor width);

/// Shape of the layer whose master weights these are, at the whole batch.
ConvShape layer_shape(const Program& program, Tensor master);

/// Master weights behind an operand of a product.
Tensor master_behind(const Program& program, Tensor codes);

ConvInput conv_input(const KernelBinding& b, Tensor x);

ConvGradient conv_gradient(const KernelBinding& b, Tensor dy);

/// What follows a first contribution: addresses of everything that the match took.
GradientSum gradient_sum_of(const KernelBinding& b, Tensor dx);

/// Elements of a list that lies side by side, gaps of zeros included; those of a tensor of samples at this step.
std::int64_t list_size(const Program& program, const std::vector<Tensor>& list, std::int64_t samples);

/// The weights of a layer in the device's form, found by the master weights.
QuantisedWeights& weights_of(const KernelBinding& b, Tensor master, const ConvShape& shape);

/// Memory of the device for results that the program does not ask for.
template <typename T>
T* record(const KernelBinding& b, std::shared_ptr<Buffer>& keep, std::int64_t count = 1) {
  keep = std::make_shared<Buffer>(b.library, static_cast<std::size_t>(count) * sizeof(T));
  return keep->as<T>();
}

/// The node that writes a tensor, as this operation.
template <typename Op>
const Op* writer_of(const Program& program, Tensor tensor) {
  const int writer = tensor ? program.writer(tensor) : -1;
  return writer < 0 ? nullptr : std::get_if<Op>(&program.node(writer).operation);
}

}  // namespace bitcycle::fused
