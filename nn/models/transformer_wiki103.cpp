// SPDX-License-Identifier: Apache-2.0
// transformer_wiki103: the Transformer of Baevski and Auli, "Adaptive Input Representations for Neural Language
// Modeling", as fairseq's model transformer_lm_wiki103: the layers of transformer_lm without a norm behind the last, a
// vocabulary in bands, whose tables and projections are the weights of the adaptive softmax too (docs/numerics.md, 6.16
// and 6.17).
#include "nn/builder/adaptive.h"
#include "nn/models/model.h"
#include "nn/models/transformer_layers.h"

namespace bitcycle {
namespace {

using namespace builder;

void write_transformer_wiki103(Builder& b, const std::string&, std::int64_t) {
  const LanguageSizes& sizes = b.options().language;
  tokens(b, sizes.time_steps * b.batch());
  const AdaptiveInput input = adaptive_input(b, "embed_tokens", sizes.quantised != QuantisedParts::kFfnAndHead);
  Value* x = add_positions(b, input.rows, "positions", sizes.time_steps);
  x = dropout(b, x, "embed.dropout", sizes.dropout);
  x = transformer_layers(b, x, "layers");
  adaptive_softmax(b, x, "adaptive_softmax", input);
}

}  // namespace

ModelFamily transformer_wiki103_family() {
  ModelFamily family{{"transformer_wiki103"}, write_transformer_wiki103, {}, Reads::kSequences};
  family.has_bands = true;
  return family;
}

}  // namespace bitcycle
