// SPDX-License-Identifier: Apache-2.0
// The state that a training begins with.
#pragma once

#include "nn/config/config.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"

namespace bitcycle {

/// The config with model.initial_weights_digest filled in. Throws where the file cannot be read or has another digest.
Config with_initial_weights_digest(Config config);

/// Initial state: of model.initial_weights, or drawn from train.seed.
void set_initial_state(NetworkRun& run, const Config& config);

}  // namespace bitcycle
