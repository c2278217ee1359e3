// SPDX-License-Identifier: Apache-2.0
// Checks of a config's keys against each other that concern language models and texts.
#pragma once

#include "nn/config/config.h"

namespace bitcycle {

/// Throws ConfigError, beginning with the key.
void check_language(const Config& config);

}  // namespace bitcycle
