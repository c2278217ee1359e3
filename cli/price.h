// SPDX-License-Identifier: Apache-2.0
// Costs on accelerators: the part of `cost` that prices a training, a recorded run or a topology on hardware.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cost_models/pricing.h"

namespace bitcycle::cli {

/// --accelerator, --baseline, --metric and the lines that can be switched on.
std::vector<OptionSpec> pricing_options();
/// Those that --accelerator names, --set accelerator.KEY=VALUE applied; none named: `fallback`.
std::vector<Accelerator> accelerators_of(const CommandLine& line, const std::vector<std::string>& fallback = {});

/// What a report prices on where nothing is asked for.
std::vector<std::string> report_accelerators();

/// Runs `cost` where hardware is asked for.
int run_pricing(const CommandLine& line);

}  // namespace bitcycle::cli
