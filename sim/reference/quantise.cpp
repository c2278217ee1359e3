// SPDX-License-Identifier: Apache-2.0
// Ranges, scales and codes of activations and gradients (docs/numerics.md, section 2).
#include <stdexcept>

#include "sim/number/ordered_key.h"
#include "sim/number/philox.h"
#include "sim/ops/activation.h"
#include "sim/ops/norm.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

void store_code(const Operand& operand, std::int64_t index, std::uint32_t q) {
  switch (operand.width.container()) {
    case Container::kUint8: static_cast<std::uint8_t*>(operand.codes)[index] = static_cast<std::uint8_t>(q); return;
    case Container::kUint16: static_cast<std::uint16_t*>(operand.codes)[index] = static_cast<std::uint16_t>(q); return;
    case Container::kUint32: static_cast<std::uint32_t*>(operand.codes)[index] = q; return;
    case Container::kFloat32: break;
  }
  throw std::logic_error("a float32 operand has no codes");
}

/// Element e of an operand: its code, or the value itself where the operand is not quantised.
void store(const Operand& operand, std::int64_t index, float value, float noise) {
  if (operand.width.is_float32()) {
    static_cast<float*>(operand.codes)[index] = value;
  } else {
    store_code(operand, index, quantise(value, *operand.affine, operand.width, noise));
  }
}

/// dy = fma(a, u, fma(k, t, c)), or u where there is no norm.
float gradient_element(const ConvGradient& gradient, std::int64_t element, std::int64_t channel) {
  if (gradient.norm == nullptr) return gradient.u[element];
  return norm_backward(gradient.u[element], gradient.y[element], gradient.norm[channel], gradient.gradient[channel]);
}

}  // namespace

void tensor_range(const float* x, std::int64_t size, Range* range) {
  KeyRange keys;
  for (std::int64_t e = 0; e < size; ++e) include(keys, x[e]);
  *range = range_of_keys(keys);
}

void activation_scale(const ActivationScale& args) {
  if (args.training) {
    *args.affine = affine_of(*args.now, args.width, args.min_scale);
    update_running_range(args.running, *args.now);
  } else {
    *args.affine = running_affine(args.running, args.width, args.min_scale);
  }
}

void gradient_scale(const GradientScale& args) {
  KeyRange keys;
  for (std::int64_t e = 0; e < args.positions * args.channels; ++e) {
    include(keys, gradient_element(args.gradient, e, e % args.channels));
  }
  *args.range = range_of_keys(keys);
  *args.affine = gradient_affine(*args.range, args.width, args.min_scale, args.zero_on_grid);
}

void quantise_input(const ConvInput& input, std::int64_t size, std::int64_t channels, const Operand& codes) {
  for (std::int64_t e = 0; e < size; ++e) {
    const float x = input.norm == nullptr ? input.x[e] : relu(norm_apply(input.x[e], input.norm[e % channels]));
    store(codes, e, x, 0.0F);
  }
}

void quantise_gradient(const ConvBackward& args) {
  for (std::int64_t e = 0; e < args.shape.output_size(); ++e) {
    float noise = 0.0F;
    if (args.stochastic) {
      noise = args.given_noise != nullptr ? args.given_noise[e]
                                          : rounding_noise(philox_word(args.noise, static_cast<std::uint64_t>(e)));
    }
    store(args.g, e, gradient_element(args.gradient, e, e % args.shape.o), noise);
  }
}

std::vector<std::uint32_t> load_codes(const Operand& operand, std::int64_t size) {
  std::vector<std::uint32_t> out(static_cast<std::size_t>(size));
  const auto copy = [&](const auto* codes) { out.assign(codes, codes + size); };
  switch (operand.width.container()) {
    case Container::kUint8: copy(static_cast<const std::uint8_t*>(operand.codes)); return out;
    case Container::kUint16: copy(static_cast<const std::uint16_t*>(operand.codes)); return out;
    case Container::kUint32: copy(static_cast<const std::uint32_t*>(operand.codes)); return out;
    case Container::kFloat32: break;
  }
  throw std::logic_error("a float32 operand has no codes");
}

std::vector<float> load_values(const Operand& operand, std::int64_t size) {
  if (operand.width.is_float32()) {
    const auto* values = static_cast<const float*>(operand.codes);
    return {values, values + size};
  }
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(size));
  for (const std::uint32_t q : load_codes(operand, size)) {
    values.push_back(static_cast<float>(dequantise(q, *operand.affine)));
  }
  return values;
}

}  // namespace bitcycle::reference
