// SPDX-License-Identifier: Apache-2.0
// Schedules side by side: widths, bit operations, and energy and time on accelerators, all against one static baseline.
#pragma once

#include <vector>

#include "cli/command_line.h"
#include "cli/cost_input.h"

namespace bitcycle::cli {

/// Prints or saves the table. Throws UsageError for a column of --sort that there is none of.
void compare_schedules(const CommandLine& line, const std::vector<CostInput>& inputs, const std::string& format);

}  // namespace bitcycle::cli
