// SPDX-License-Identifier: Apache-2.0
// The config.yaml of a run folder: every key written out, and a last line with a checksum, so that a file that was cut
// off or changed is not read as another training.
#pragma once

#include <string>

#include "nn/config/config.h"

namespace bitcycle {

/// config_yaml(config) and the checksum line.
std::string recorded_config_yaml(const Config& config);
/// Whether the text has a checksum line, right or wrong.
bool is_sealed_config(const std::string& yaml);
/// Throws ConfigError naming `origin`: the lines are not those that the checksum is of; or there is no checksum line
/// and a key is missing. (With a checksum that holds, a missing key is one that a later version has added.)
Config parse_recorded_config(const std::string& yaml, const std::string& origin);

}  // namespace bitcycle
