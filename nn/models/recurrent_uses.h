// SPDX-License-Identifier: Apache-2.0
// How often a step multiplies with the weights of a layer.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "nn/config/config.h"

namespace bitcycle {

/// Of the layers that a step uses once a time step, each time for a sample of every stream: train.time_steps. Other
/// layers, which multiply all words of a step at once, are not there.
std::map<std::string, std::int64_t> recurrent_uses(const Config& config);

}  // namespace bitcycle
