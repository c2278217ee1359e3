// SPDX-License-Identifier: Apache-2.0
#include "nn/models/transformer_layers.h"

#include <cmath>

namespace bitcycle::builder {
namespace {

using Kind = InitialValues::Kind;
constexpr InitialValues kZeros{Kind::kConstant, 0.0};

/// Of a fully connected layer: uniform, bounded by 1 / sqrt(inputs), or by gain * sqrt(6 / (inputs + outputs)).
InitialValues by_inputs(std::int64_t inputs) { return {Kind::kUniform, 1.0 / std::sqrt(static_cast<double>(inputs))}; }
InitialValues xavier(std::int64_t inputs, std::int64_t outputs, double gain) {
  return {Kind::kUniform, gain * std::sqrt(6.0 / static_cast<double>(inputs + outputs))};
}

/// What the layers of a model share.
struct Layers {
  Builder& b;
  const LanguageSizes& sizes;

  Value* linear(Value* x, const std::string& name, std::int64_t outputs, bool quantised, const InitialValues& weights,
                const InitialValues& biases) const {
    return QuantisedLinear(product_layer(b, name, sequence_shape(b.batch(), sizes.time_steps, outputs, x->c),
                                         {outputs, x->c}, quantised, weights),
                           Bias::kFloat32, biases)(x);
  }

  Value* attend(Value* x, const std::string& name) const {
    const bool linears = sizes.quantised != QuantisedParts::kFfnAndHead;
    const InitialValues projection = xavier(x->c, x->c, std::sqrt(0.5)), uniform = by_inputs(x->c);
    Value* q = linear(x, name + ".q_proj", x->c, linears, projection, uniform);
    Value* k = linear(x, name + ".k_proj", x->c, linears, projection, uniform);
    Value* v = linear(x, name + ".v_proj", x->c, linears, projection, uniform);
    AttentionSpec spec;
    spec.name = name;
    spec.heads = sizes.heads;
    spec.time_steps = sizes.time_steps;
    spec.quantised = sizes.quantised == QuantisedParts::kLinearsAndAttention;
    spec.dropout = sizes.attention_dropout;
    return linear(attention(b, q, k, v, spec), name + ".out_proj", x->c, linears, xavier(x->c, x->c, 1.0), kZeros);
  }

  /// x + dropout(attention(norm(x))), then x + dropout(fc2(relu(fc1(norm(x))))).
  Value* layer(Value* x, const std::string& name) const {
    Value* attended = attend(layer_norm(b, x, name + ".self_attn_layer_norm"), name + ".self_attn");
    x = add(b, x, dropout(b, attended, name + ".attention.dropout", sizes.dropout));
    Value* hidden = relu(b, linear(layer_norm(b, x, name + ".final_layer_norm"), name + ".fc1", sizes.ffn, true,
                                   by_inputs(x->c), by_inputs(x->c)));
    hidden = dropout(b, hidden, name + ".activation.dropout", sizes.activation_dropout);
    Value* y = linear(hidden, name + ".fc2", x->c, true, by_inputs(sizes.ffn), by_inputs(sizes.ffn));
    return add(b, x, dropout(b, y, name + ".ffn.dropout", sizes.dropout));
  }
};

}  // namespace

Value* transformer_layers(Builder& builder, Value* x, const std::string& prefix) {
  const LanguageSizes& sizes = builder.options().language;
  const Layers layers{builder, sizes};
  for (std::int64_t n = 0; n < sizes.layers; ++n) x = layers.layer(x, prefix + "." + std::to_string(n));
  return x;
}

}  // namespace bitcycle::builder
