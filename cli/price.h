// SPDX-License-Identifier: Apache-2.0
// Costs on accelerators: the part of `cost` that prices a training, a recorded run or layers of one's own on hardware.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
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

/// --format, or json where --json asks for it. Throws UsageError where the two contradict each other.
std::string output_format(const CommandLine& line, const std::vector<std::string>& formats);
/// The widths of --baseline, if any.
std::optional<LayerWidths> baseline_of(const CommandLine& line);
/// JSON as the verbs print it; names that are no UTF-8 lose what is none.
std::string json_text(const nlohmann::ordered_json& json);
/// The one result, text or JSON: to the file of --out, whole or not at all, else to standard output.
void write_result(const CommandLine& line, const std::string& text);

/// Runs `cost` where hardware is asked for.
int run_pricing(const CommandLine& line);

}  // namespace bitcycle::cli
