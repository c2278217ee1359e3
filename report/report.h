// SPDX-License-Identifier: Apache-2.0
// Report: one self-contained HTML page of any number of runs: accuracy against BitOPs and against energy with the
// Pareto front, curves over steps, energy by layer, pass and component, and the tables behind every plot.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cost_models/pricing.h"

namespace bitcycle::report {

/// A run, or runs that differ only by seed, as a point.
struct Point {
  double cost = 0.0, accuracy = 0.0;
};
/// Which points no other one beats: none is at most as costly and at least as accurate, and better in one.
std::vector<bool> pareto_front(const std::vector<Point>& points);

/// Everything that the page shows. Throws what reading a run folder throws.
nlohmann::ordered_json report_data(const std::vector<std::filesystem::path>& runs,
                                   const std::vector<Accelerator>& accelerators);

/// The page. It loads nothing from elsewhere.
std::string report_html(const nlohmann::ordered_json& data);

}  // namespace bitcycle::report
