// SPDX-License-Identifier: Apache-2.0
// ScheduleReport: the widths of a precision plan over the run, as stretches and as sums, and what the schedule alone
// costs beside a static one: where every layer has the same widths, layers cancel out of that ratio.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// Steps first_step .. first_step + steps - 1 at one pair of widths.
struct WidthStretch {
  std::int64_t first_step = 0;
  std::int64_t steps = 0;
  LayerWidths widths;
};

struct ScheduleReport {
  std::string name;   // of the config
  std::string layer;  // empty: the run's own schedules
  std::int64_t steps = 0;
  std::vector<WidthStretch> stretches;
  std::map<LayerWidths, std::int64_t> totals;  // steps at each pair
  LayerWidths static_widths;                   // the baseline: the largest widths
  /// Mean over steps of (b*b + 2*b*bg) / (B*B + 2*B*Bg): the `paper` metric's cost relative to static.
  double relative_cost = 1.0;
};

/// `layer` empty: the run's own schedules, layers that are set apart left out.
ScheduleReport schedule_report(const std::string& name, const PrecisionPlan& plan, const std::string& layer = "");

/// After so many stretches widths and dwell times repeat to the end (the last round may be cut or longer); all of them
/// where nothing repeats.
std::size_t stretches_in_a_round(const std::vector<WidthStretch>& stretches);

/// Header: first_step,steps,forward_bits,gradient_bits. One row a stretch.
std::string schedule_csv(const ScheduleReport& report);
nlohmann::ordered_json schedule_json(const ScheduleReport& report);

}  // namespace bitcycle
