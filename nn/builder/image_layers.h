// SPDX-License-Identifier: Apache-2.0
// What of an image network a config quantises beside the convolutions of its blocks.
#pragma once

#include "nn/builder/builder.h"
#include "nn/config/config.h"

namespace bitcycle::builder {

inline LayerChoice layer_choice(const std::string& name) {
  if (name == "quantised") return LayerChoice::kQuantised;
  return name == "float32" ? LayerChoice::kFloat32 : LayerChoice::kPublished;
}

/// model.first_layer and model.projections.
inline void choose_layers(const Config& config, Options& options) {
  options.first_layer = layer_choice(config.model.first_layer);
  options.projections = layer_choice(config.model.projections);
}

}  // namespace bitcycle::builder
