// SPDX-License-Identifier: Apache-2.0
// transformer_lm: the Transformer of the WikiText-103 experiments, as fairseq's model of that name: pre-norm layers,
// sinusoidal positions, the embedding's table as head (docs/numerics.md, 6.11 to 6.17).
#include "nn/builder/transformer.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

using namespace builder;

/// What the layers of a model share.
struct Layers {
  Builder& b;
  const LanguageSizes& sizes;

  Value* linear(Value* x, const std::string& name, std::int64_t outputs, bool quantised) const {
    return QuantisedLinear(
        product_layer(b, name, sequence_shape(b.batch(), sizes.time_steps, outputs, x->c), {outputs, x->c}, quantised),
        Bias::kFloat32)(x);
  }

  Value* attend(Value* x, const std::string& name) const {
    const bool linears = sizes.quantised != QuantisedParts::kFfnAndHead;
    Value* q = linear(x, name + ".q_proj", x->c, linears);
    Value* k = linear(x, name + ".k_proj", x->c, linears);
    Value* v = linear(x, name + ".v_proj", x->c, linears);
    AttentionSpec spec;
    spec.name = name;
    spec.heads = sizes.heads;
    spec.time_steps = sizes.time_steps;
    spec.quantised = sizes.quantised == QuantisedParts::kLinearsAndAttention;
    spec.dropout = sizes.attention_dropout;
    return linear(attention(b, q, k, v, spec), name + ".out_proj", x->c, linears);
  }

  /// x + dropout(attention(norm(x))), then x + dropout(fc2(relu(fc1(norm(x))))).
  Value* layer(Value* x, const std::string& name) const {
    Value* attended = attend(layer_norm(b, x, name + ".self_attn_layer_norm"), name + ".self_attn");
    x = add(b, x, dropout(b, attended, name + ".attention.dropout", sizes.dropout));
    Value* hidden = relu(b, linear(layer_norm(b, x, name + ".final_layer_norm"), name + ".fc1", sizes.ffn, true));
    hidden = dropout(b, hidden, name + ".activation.dropout", sizes.activation_dropout);
    Value* y = linear(hidden, name + ".fc2", x->c, true);
    return add(b, x, dropout(b, y, name + ".ffn.dropout", sizes.dropout));
  }
};

void write_transformer_lm(Builder& b, const std::string&, std::int64_t) {
  const LanguageSizes& sizes = b.options().language;
  tokens(b, sizes.time_steps * b.batch());
  const TiedEmbedding tied = tied_embedding(b, "embed_tokens", sizes.vocabulary, sizes.embedding);
  Value* x = add_positions(b, tied.rows, "positions", sizes.time_steps);
  x = dropout(b, x, "embed.dropout", sizes.dropout);
  const Layers layers{b, sizes};
  for (std::int64_t n = 0; n < sizes.layers; ++n) x = layers.layer(x, "layers." + std::to_string(n));
  x = layer_norm(b, x, "layer_norm");
  QuantisedLinear head(product_layer(b, "output_projection",
                                     sequence_shape(b.batch(), sizes.time_steps, sizes.vocabulary, sizes.embedding),
                                     tied.table, tied.head_gradient, true),
                       Bias::kNone);
  softmax_loss(b, head(x));
}

}  // namespace

ModelFamily transformer_lm_family() { return {{"transformer_lm"}, write_transformer_lm, {}, true}; }

}  // namespace bitcycle
