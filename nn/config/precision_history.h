// SPDX-License-Identifier: Apache-2.0
// The list precision.history: read from YAML, written back on one line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"

namespace YAML {
class Node;
}

namespace bitcycle {

/// Throws std::invalid_argument naming the entry and what is legal.
std::vector<PrecisionHistory> read_precision_history(const YAML::Node& node, const std::filesystem::path& folder);
std::string write_precision_history(const std::vector<PrecisionHistory>& history);

}  // namespace bitcycle
