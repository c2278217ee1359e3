// SPDX-License-Identifier: Apache-2.0
// How the cost of a config's training is counted.
#pragma once

#include "cost_models/bitops.h"
#include "nn/config/config.h"
#include "nn/models/model.h"

namespace bitcycle {

inline BitOpsOptions bitops_options(const Config& config) {
  BitOpsOptions options;
  options.batch = priced_samples_of_step(config);
  options.error_weights = config.precision.error_weights;
  options.error_grid_bits = config.precision.error_grid_bits;
  options.count_batch_norm = config.cost.count_batch_norm;
  options.paper_layers = config.cost.paper_layers;
  options.paper_samples = config.cost.paper_samples;
  return options;
}

}  // namespace bitcycle
