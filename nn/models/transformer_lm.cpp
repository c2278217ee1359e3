// SPDX-License-Identifier: Apache-2.0
// transformer_lm: the Transformer of the WikiText-103 experiments, as fairseq's model of that name: pre-norm layers,
// sinusoidal positions, the embedding's table as head (docs/numerics.md, 6.11 to 6.17).
#include "nn/models/model.h"
#include "nn/models/transformer_layers.h"

namespace bitcycle {
namespace {

using namespace builder;

void write_transformer_lm(Builder& b, const std::string&, std::int64_t) {
  const LanguageSizes& sizes = b.options().language;
  tokens(b, sizes.time_steps * b.batch());
  const TiedEmbedding tied = tied_embedding(b, "embed_tokens", sizes.vocabulary, sizes.embedding);
  Value* x = add_positions(b, tied.rows, "positions", sizes.time_steps);
  x = dropout(b, x, "embed.dropout", sizes.dropout);
  x = transformer_layers(b, x, "layers");
  x = layer_norm(b, x, "layer_norm");
  QuantisedLinear head(product_layer(b, "output_projection",
                                     sequence_shape(b.batch(), sizes.time_steps, sizes.vocabulary, sizes.embedding),
                                     tied.table, tied.head_gradient, true),
                       Bias::kNone);
  softmax_loss(b, head(x));
}

}  // namespace

ModelFamily transformer_lm_family() { return {{"transformer_lm"}, write_transformer_lm, {}, Reads::kSequences}; }

}  // namespace bitcycle
