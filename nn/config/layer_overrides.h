// SPDX-License-Identifier: Apache-2.0
// The list precision.layers: read from YAML, written back on one line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"

namespace YAML {
class Node;
}

namespace bitcycle {

/// Throws std::invalid_argument naming the entry and what is legal. Files of points are relative to `folder`.
std::vector<PrecisionOverride> read_layer_overrides(const YAML::Node& node, const std::filesystem::path& folder);
/// A width, or {schedule, min, max, cycles, points}; `location` begins its errors.
ScheduleSpec read_schedule(const YAML::Node& node, const std::string& location, const std::filesystem::path& folder);
std::string write_schedule(const ScheduleSpec& spec);
std::string write_layer_overrides(const std::vector<PrecisionOverride>& overrides);

}  // namespace bitcycle
