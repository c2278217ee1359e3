// SPDX-License-Identifier: Apache-2.0
// Said where a piecewise schedule has points that the run is too short for.
#pragma once

#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::cli {

/// One sentence for each piecewise schedule of the config with points behind the last step: its key, and the first of
/// these points.
std::vector<std::string> unreached_points(const Config& config);

}  // namespace bitcycle::cli
