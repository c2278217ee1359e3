// SPDX-License-Identifier: Apache-2.0
// The sizes of a language model, from a config.
#pragma once

#include "nn/builder/builder.h"
#include "nn/config/config.h"

namespace bitcycle::builder {

inline LanguageSizes language_sizes(const Config& config) {
  LanguageSizes sizes;
  sizes.vocabulary = config.model.vocabulary;
  sizes.embedding = config.model.embedding;
  sizes.hidden = config.model.hidden;
  sizes.layers = config.model.layers;
  sizes.dropout = config.model.dropout;
  sizes.time_steps = config.train.time_steps;
  sizes.ffn = config.model.ffn;
  sizes.heads = config.model.heads;
  sizes.quantised =
      config.model.quantise == "ffn+head"
          ? QuantisedParts::kFfnAndHead
          : (config.model.quantise == "linears" ? QuantisedParts::kLinears : QuantisedParts::kLinearsAndAttention);
  sizes.attention_dropout = config.model.attention_dropout;
  sizes.activation_dropout = config.model.activation_dropout;
  sizes.head_dropout = config.model.head_dropout;
  sizes.cutoffs = config.model.cutoffs;
  sizes.band_factor = config.model.band_factor;
  sizes.bias = config.model.quantised_bias ? Bias::kQuantised : Bias::kFloat32;
  return sizes;
}

}  // namespace bitcycle::builder
