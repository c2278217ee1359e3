// SPDX-License-Identifier: Apache-2.0
#include "sim/device/fused/bindings.h"

#include <stdexcept>

namespace bitcycle::fused {

ConvShape at(const ops::Contraction& over, const Program& program, std::int64_t samples) {
  ConvShape shape = over.shape;
  shape.n = shape.n / program.batch() * samples;
  return shape;
}

std::int64_t rows(const Program& program, Tensor tensor, std::int64_t samples) {
  const TensorSpec& spec = program.spec(tensor);
  return spec.size() / spec.shape.back() / program.batch() * samples;
}

BitWidth width_of(const KernelStep& step, Tensor width) {
  return width ? step.inputs.value<BitWidth>(width) : BitWidth::float32();
}

ConvShape layer_shape(const Program& program, Tensor master) {
  for (const Node& node : program.nodes()) {
    if (const auto* float_product = std::get_if<ops::FloatProduct>(&node.operation)) {
      if (float_product->over.pass == Pass::kForward && float_product->rhs == master) return float_product->over.shape;
    }
    const auto* product = std::get_if<ops::Product>(&node.operation);
    if (product == nullptr || product->over.pass != Pass::kForward) continue;
    const int writer = program.writer(product->rhs.codes);
    const auto* quantise = writer < 0 ? nullptr : std::get_if<ops::Quantise>(&program.node(writer).operation);
    if (quantise != nullptr && quantise->x == master) return product->over.shape;
  }
  throw std::logic_error("no product reads the weights '" + program.spec(master).name + "'");
}

Tensor master_behind(const Program& program, Tensor codes) {
  for (int writer = program.writer(codes); writer >= 0;) {
    const Operation& operation = program.node(writer).operation;
    if (const auto* quantise = std::get_if<ops::Quantise>(&operation)) return quantise->x;
    if (const auto* grid = std::get_if<ops::ErrorCodes>(&operation)) {
      writer = program.writer(grid->weights.codes);
    } else if (const auto* values = std::get_if<ops::Dequantise>(&operation)) {
      writer = program.writer(values->x.codes);
    } else {
      break;
    }
  }
  return codes;
}

ConvInput conv_input(const KernelBinding& b, Tensor x) {
  if (const auto* apply = b.recomputed<ops::NormApply>()) {
    return {b.address<float>(apply->y), b.address<NormChannel>(apply->norm)};
  }
  if (const auto* apply = b.op<ops::NormApply>()) {
    return {b.address<float>(apply->y), b.address<NormChannel>(apply->norm)};
  }
  return {b.address<float>(x), nullptr};
}

ConvGradient conv_gradient(const KernelBinding& b, Tensor dy) {
  const auto* norm = b.recomputed<ops::NormGradient>();
  if (norm == nullptr) norm = b.op<ops::NormGradient>();
  if (norm != nullptr) {
    return {b.address<float>(norm->u), b.address<float>(norm->y), b.address<NormChannel>(norm->norm),
            b.address<NormGradientChannel>(norm->gradient)};
  }
  return {b.address<float>(dy), nullptr, nullptr, nullptr};
}

GradientSum gradient_sum_of(const KernelBinding& b, Tensor dx) {
  GradientSum gradient_sum;
  Tensor u = dx;
  if (const auto* sum = b.op<ops::Add>()) {
    gradient_sum.other = b.address<float>(sum->b);
    u = sum->z;
  }
  if (const auto* both = b.op<ops::SumBound>()) gradient_sum.other_bound = b.address<float>(both->b);
  if (const auto* relu = b.op<ops::ReluGradient>()) {
    const auto* z = writer_of<ops::Relu>(b.program, relu->positive);
    const auto* apply = b.recomputed<ops::NormApply>();
    if (apply != nullptr && z != nullptr && z->x == apply->z) {
      gradient_sum.mask_y = b.address<float>(apply->y);
      gradient_sum.mask_norm = b.address<NormChannel>(apply->norm);
    } else {
      gradient_sum.mask_bits = b.address<std::uint32_t>(relu->positive);
    }
    u = relu->dx;
  }
  gradient_sum.u = b.address<float>(u);
  for (int i = 0; i < 2; ++i) {
    const auto* sums = b.op<ops::NormGradientSums>(i);
    if (sums == nullptr) break;
    gradient_sum.norm[i] = {b.address<float>(sums->y), b.address<NormChannel>(sums->norm),
                            b.address<NormGradientSums>(sums->sums)};
  }
  for (int i = 0;; ++i) {
    const auto* magnitude = b.op<ops::Magnitude>(i);
    if (magnitude == nullptr) break;
    if (magnitude->x == u) gradient_sum.u_bound = b.address<float>(magnitude->bound);
  }
  return gradient_sum;
}

std::int64_t list_size(const Program& program, const std::vector<Tensor>& list, std::int64_t samples) {
  if (list.size() == 1) {
    const TensorSpec& spec = program.spec(list.front());
    return spec.sample_axis < 0 ? spec.size() : spec.size() / program.batch() * samples;
  }
  std::int64_t size = 0;
  for (const Tensor tensor : list) size += ops::position_step(program.spec(tensor).size());
  return size;
}

QuantisedWeights& weights_of(const KernelBinding& b, Tensor master, const ConvShape& shape) {
  return b.held<QuantisedWeights>(master, [&]() -> std::shared_ptr<void> {
    return std::shared_ptr<QuantisedWeights>(b.library.make_weights(shape));
  });
}

}  // namespace bitcycle::fused
