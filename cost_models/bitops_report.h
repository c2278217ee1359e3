// SPDX-License-Identifier: Apache-2.0
// BitOpsReport: what a training costs, as people and programs read it: totals and the static baseline first, then
// passes, pairs of widths, and every layer with its passes. Data and JSON; drawing a table of it is the reader's
// affair.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cost_models/bitops.h"

namespace bitcycle {

/// Both metrics, added up over rows.
struct BitOpsSum {
  double macs = 0.0;
  double paper = 0.0;
  double executed = 0.0;
  void add(const BitOpsRow& row) {
    macs += row.macs;
    paper += row.paper_bitops;
    executed += row.executed_bitops;
  }
};

struct LayerBitOps {
  std::string layer;
  BitOpsSum total;
  std::array<BitOpsSum, kPasses.size()> passes;  // in the order of kPasses
};

struct BitOpsReport {
  std::string name;  // of the config
  std::string model;
  std::int64_t macs_per_image = 0;  // forward
  std::int64_t steps = 0;
  BitOpsOptions options;
  LayerWidths static_widths;     // of the baseline, layers of their own left out
  bool common_baseline = false;  // every layer of the baseline has these widths; else each its own largest
  BitOpsSum total;
  BitOpsSum static_total;
  double saving_percent = 0.0;  // paper metric
  std::vector<std::pair<Pass, BitOpsSum>> passes;
  std::vector<std::pair<LayerWidths, BitOpsSum>> widths;  // ascending
  std::vector<LayerBitOps> layers;                        // in the order of the workload
  BitOps cost;                                            // every row
};

/// Cost of the plan's steps [begin, end) beside the same steps static: every layer at its own largest widths, or, where
/// `baseline` is given, all at these.
BitOpsReport bitops_report(const std::string& name, const Workload& workload, const PrecisionPlan& plan,
                           std::int64_t begin, std::int64_t end, const BitOpsOptions& options,
                           const LayerWidths* baseline = nullptr);
/// A plan in which every layer has these widths at every step.
PrecisionPlan static_plan(const LayerWidths& widths, std::int64_t steps);

/// A width in JSON: a number, or "float32".
nlohmann::ordered_json width_json(const BitWidth& width);

/// One object: totals, baseline and saving first, then arrays `passes`, `widths`, `layers` (each with its passes) and
/// `rows` (layer, pass and pair of widths). Costs in GBitOPs, but for `rows`: BitOPs, as in cost.csv.
nlohmann::ordered_json bitops_json(const BitOpsReport& report);

}  // namespace bitcycle
