// SPDX-License-Identifier: Apache-2.0
// How the cost of one layer comes about: the widths that each of its passes has over the run, and the formulas of the
// widest, with the numbers put in.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cost_models/pricing.h"

namespace bitcycle {

/// Steps of a pass at one pair of widths.
struct ExplainedWidths {
  PassWidths widths;
  std::int64_t steps = 0;
  ProductCost step;  // cost of one step
};

struct ExplainedPass {
  std::string pass;
  std::vector<ExplainedWidths> widths;  // ascending; empty: the pass does not run
  std::vector<std::string> lines;       // formulas at the last of them
};

struct Explanation {
  Accelerator accelerator;
  std::string layer;
  std::int64_t batch = 1, steps = 1;
  std::vector<ExplainedPass> passes;
  std::vector<std::string> constants;  // of the accelerator, array and dataflow among them
};

/// Throws std::invalid_argument where there is no such layer, naming those there are.
Explanation explain_layer(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                          std::int64_t begin, std::int64_t end, const std::string& layer,
                          const PricingOptions& options);
/// The layers of this name of a topology without a schedule.
std::vector<Explanation> explain_topology(const Accelerator& accelerator, const Topology& topology, OperandBits bits,
                                          const std::string& layer);

std::vector<std::string> explanation_lines(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

}  // namespace bitcycle
