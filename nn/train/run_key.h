// SPDX-License-Identifier: Apache-2.0
// What ties the files of a run folder to its config, so that a file of another run is found.
#pragma once

#include <string>

#include "nn/config/config.h"

namespace bitcycle {

/// True for keys that say nothing but what single steps do. A longer run may change them as long as the steps that ran
/// stay what they were, so they are compared step by step.
bool is_key_of_schedules(const std::string& key);

/// XXH3-128 of the config's identity without the keys of schedules and forks, and those that have their defaults: the
/// same for a run and for a longer one that it becomes a part of.
std::string run_key(const Config& config);

}  // namespace bitcycle
