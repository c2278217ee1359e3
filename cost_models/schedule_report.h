// SPDX-License-Identifier: Apache-2.0
// ScheduleReport: the widths of a precision plan over the run, as stretches and as sums, by groups of layers that have
// the same ones, and what the plan costs beside a static one.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle {

/// Steps first_step .. first_step + steps - 1 at one pair of widths.
struct WidthStretch {
  std::int64_t first_step = 0;
  std::int64_t steps = 0;
  LayerWidths widths;
};

/// Layers that have the same widths at every step.
struct WidthGroup {
  std::vector<std::string> layers;
  double macs_share = 1.0;  // of the workload's forward MACs
  std::vector<WidthStretch> stretches;
  bool all_stretches = true;                   // false: there are more than a million, and these are the first
  std::map<LayerWidths, std::int64_t> totals;  // steps at each pair
};

struct ScheduleReport {
  std::string name;   // of the config
  std::string layer;  // the only layer, where one was asked for
  std::int64_t steps = 0;
  std::vector<WidthGroup> groups;  // never empty; the run's own schedules first
  LayerWidths static_widths;       // the baseline: all layers', or the run's own largest
  bool common_baseline = false;    // every layer of the baseline has static_widths; else each its own largest
  double gbitops = 0.0;            // `paper` metric, of one sample a step
  /// The `paper` metric's cost relative to static: where all layers have the same widths they cancel, and this is the
  /// mean over steps of (b*b + 2*b*bg) / (B*B + 2*B*Bg).
  double relative_cost = 1.0;
};

/// One layer of one multiply-accumulate: for a schedule without a model.
Workload any_workload();

/// Without `baseline` beside every layer static at its own largest widths. `layer`: only this one; throws
/// std::invalid_argument where the workload has no such layer, or a pattern of the plan matches none.
ScheduleReport schedule_report(const std::string& name, const PrecisionPlan& plan,
                               const Workload& workload = any_workload(), const LayerWidths* baseline = nullptr,
                               const std::string& layer = "");

/// After so many stretches widths and dwell times repeat to the end (the last round may be cut or longer); all of them
/// where nothing repeats.
std::size_t stretches_in_a_round(const std::vector<WidthStretch>& stretches);

/// Throws std::invalid_argument where there are too many stretches to be listed, as schedule_json does.
/// Header: first_step,steps,forward_bits,gradient_bits; where some layers have widths of their own, also `layers`, the
/// names joined by spaces. One row a stretch and group.
std::string schedule_csv(const ScheduleReport& report);
/// totals and dwell are the first group's; `layer_groups` lists all where there are several.
nlohmann::ordered_json schedule_json(const ScheduleReport& report);

}  // namespace bitcycle
